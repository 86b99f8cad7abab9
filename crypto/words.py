"""A hash as words that two people can compare by telephone.

The list is BIP-39's English one: 2048 common words, no two of which begin with the same four letters, so 11 bits a
word. (https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki; MIT, in package `mnemonic`)
"""

from functools import cache
from typing import Final

from mnemonic import Mnemonic

_BITS: Final = 11
_LETTERS: Final = 4


@cache
def _listed() -> tuple[str, ...]:
    return tuple(Mnemonic("english").wordlist)


def words_of(digest: bytes, count: int) -> tuple[str, ...]:
    """The first `count` times 11 bits of `digest`, which must have them, as words."""
    number, left = int.from_bytes(digest), len(digest) * 8
    return tuple(_listed()[number >> (left - _BITS * place) & 2047] for place in range(1, count + 1))


def same_words(typed: str, words: tuple[str, ...]) -> bool:
    """Whether somebody typed these words; of each, four letters will do, as they are told apart by them."""
    found = typed.lower().replace(",", " ").split()
    return len(found) == len(words) and all(map(_same, found, words))


def _same(typed: str, word: str) -> bool:
    return word.startswith(typed) and len(typed) >= min(_LETTERS, len(word))
