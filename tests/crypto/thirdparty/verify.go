// Verifies a ledger as it is served, with nothing of ours: the Go checksum database's own packages
// read the checkpoint, the tiles and the proofs. What they do not have (cosignatures with a time,
// the text around a proof) is written out here from the C2SP specifications.
//
// verify FOLDER, where FOLDER holds
//
//	log.vkey, witness.vkey       keys of type 1 and 4
//	checkpoint                   signed by both
//	tile/...                     tiles and entry bundles of that checkpoint's tree
//	proof/N.tlog-proof           of entry N, under that checkpoint
//	older/SIZE                   older checkpoints, signed by the log
//	consistency/SIZE             proofs from there, a line of base64 for each hash
//
// verify tiles FOLDER, where FOLDER is what `seci-hub ledger tiles` wrote: log.vkey, checkpoint, tile/...
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	log.SetFlags(0)
	if os.Args[1] == "tiles" {
		published(folder(os.Args[2]))
	} else {
		proven(folder(os.Args[1]))
	}
}

// published verifies a log by its tiles alone: the root is made of them, and a proof for every entry.
func published(folder folder) {
	tree := folder.tree("checkpoint", folder.signer())
	hashes := tlog.TileHashReader(tree, folder)
	root, err := tlog.TreeHash(tree.N, hashes)
	check(err)
	require(root == tree.Hash, "the root of the tiles is not the checkpoint's")
	entries := folder.entries(tree, hashes)
	for index, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(index), hashes)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)))
	}
	fmt.Printf("entries %d root %s\n", len(entries), root)
}

func proven(folder folder) {
	signer := folder.signer()
	tree := folder.tree("checkpoint", signer, newCosigner(strings.TrimSpace(folder.text("witness.vkey"))))
	hashes := tlog.TileHashReader(tree, folder)
	entries := folder.entries(tree, hashes)
	proofs := folder.list("proof")
	for _, name := range proofs {
		folder.proof(name, tree, hashes, entries)
	}
	older := folder.list("older")
	for _, name := range older {
		before := folder.tree("older/"+name, signer)
		require(name == strconv.FormatInt(before.N, 10), "older checkpoint %s is of size %d", name, before.N)
		proof := tlog.TreeProof(parseHashes(strings.Split(folder.text("consistency/"+name), "\n")))
		check(tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash))
		made, err := tlog.ProveTree(tree.N, before.N, hashes)
		check(err)
		require(reflect.DeepEqual(made, proof), "the consistency proof from %d is another", before.N)
	}
	fmt.Printf("entries %d proofs %d older %d\n", len(entries), len(proofs), len(older))
}

type folder string

func (f folder) text(name string) string {
	data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(name)))
	check(err)
	return string(data)
}

func (f folder) list(name string) []string {
	found, err := os.ReadDir(filepath.Join(string(f), name))
	check(err)
	var names []string
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	require(len(names) > 0, "nothing in %s", name)
	return names
}

func (f folder) signer() note.Verifier {
	signer, err := note.NewVerifier(strings.TrimSpace(f.text("log.vkey")))
	check(err)
	return signer
}

// tree opens a checkpoint that all of the keys must have signed.
func (f folder) tree(name string, keys ...note.Verifier) tlog.Tree {
	return openTree(f.text(name), keys...)
}

func openTree(text string, keys ...note.Verifier) tlog.Tree {
	opened, err := note.Open([]byte(text), note.VerifierList(keys...))
	check(err)
	require(len(opened.Sigs) == len(keys), "signed by %d of %d keys", len(opened.Sigs), len(keys))
	lines := strings.Split(opened.Text, "\n")
	require(len(lines) == 4 && lines[0] == keys[0].Name(), "a checkpoint has three lines, the first its origin")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

// Height, ReadTiles and SaveTiles make a tlog.TileReader. C2SP's paths leave out the height, which is always 8.
func (f folder) Height() int { return 8 }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

// entries reads all bundles of a tree. The reader of hashes checks every tile against the tree's root before it gives
// out a hash.
func (f folder) entries(tree tlog.Tree, hashes tlog.HashReader) [][]byte {
	entries := f.bundles(tree.N)
	for index, entry := range entries {
		found, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
		check(err)
		require(found[0] == tlog.RecordHash(entry), "entry %d is not that of its leaf", index)
	}
	return entries
}

func (f folder) bundles(size int64) [][]byte {
	var all [][]byte
	for start := int64(0); start < size; start += 256 {
		tile := tlog.Tile{H: 8, L: 0, N: start / 256, W: 256}
		if size-start < 256 {
			tile.W = int(size - start)
		}
		rest := []byte(f.text(strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)))
		for len(rest) > 0 {
			length := int(binary.BigEndian.Uint16(rest))
			all = append(all, rest[2:2+length])
			rest = rest[2+length:]
		}
	}
	require(int64(len(all)) == size, "%d entries in the bundles of a tree of %d", len(all), size)
	return all
}

// proof verifies a C2SP tlog-proof. Its extra data, salt and entry, must have the leaf's commitment.
func (f folder) proof(name string, tree tlog.Tree, hashes tlog.HashReader, entries [][]byte) {
	head, checkpoint, found := strings.Cut(f.text("proof/"+name), "\n\n")
	require(found && checkpoint == f.text("checkpoint"), "%s is not under the checkpoint", name)
	lines := strings.Split(head, "\n")
	require(len(lines) >= 3 && lines[0] == "c2sp.org/tlog-proof@v1", "%s has another header", name)
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	check(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	check(err)
	require(name == fmt.Sprintf("%d.tlog-proof", index), "%s is of entry %d", name, index)
	commitment := sha256.Sum256(extra)
	require(bytes.Equal(commitment[:], entries[index]), "%s has another entry than the log", name)
	proof := tlog.RecordProof(parseHashes(lines[3:]))
	check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(commitment[:])))
	made, err := tlog.ProveRecord(tree.N, index, hashes)
	check(err)
	require(len(made) == 0 && len(proof) == 0 || reflect.DeepEqual(made, proof), "the proof %s is another", name)
}

func parseHashes(lines []string) []tlog.Hash {
	hashes := []tlog.Hash{}
	for _, line := range lines {
		if line == "" {
			continue
		}
		hash, err := tlog.ParseHash(line)
		check(err)
		hashes = append(hashes, hash)
	}
	return hashes
}

// cosigner verifies C2SP tlog-cosignature with Ed25519 (type 4), as a note.Verifier.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) note.Verifier {
	parts := strings.SplitN(vkey, "+", 3)
	require(len(parts) == 3, "not a vkey: %s", vkey)
	encoded, err := base64.StdEncoding.DecodeString(parts[2])
	check(err)
	require(len(encoded) == 33 && encoded[0] == 4, "not a key of type 4: %s", vkey)
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), encoded...))
	require(fmt.Sprintf("%x", sum[:4]) == parts[1], "the hash in the vkey is not that of its key")
	return &cosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), encoded[1:]}
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	header := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(header), msg...), sig[8:])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func require(holds bool, format string, values ...interface{}) {
	if !holds {
		log.Fatalf(format, values...)
	}
}
