"""Names compared across alphabets: a key that the spellings of one name share, in whichever alphabet.

`anyascii` brings every script to Latin letters; what is left are the region's customs of writing one sound
(Živković, Zhivkovich, Живковић). Keys find candidates for an officer to look at: equal keys prove nothing, and
some pairs are missed (Țurcanu loses its sound in papers without diacritics, and Цуркану has it).
"""

import re
import unicodedata
from typing import Final

# Greek writes one sound with two letters (ISO 843, type 2, as in Greek passports), in its own alphabet only.
_GREEK: Final = (
    ("ου", "u"),
    ("αυ", "av"),
    ("ευ", "ev"),
    ("γγ", "ng"),
    (r"\bμπ", "b"),
    (r"\bντ", "d"),
)
# Bulgarian ъ is a vowel there and щ is sht (the Transliteration Act of 2009); anyascii follows the Russian custom.
_BULGARIAN: Final = str.maketrans({"ъ": "a", "щ": "sht"})

# Of Latin letters, the longer first.
_LATIN: Final = (
    ("shch", "st"),
    ("tsch", "c"),
    ("sch", "s"),
    ("tch", "c"),
    ("zh", "z"),
    ("kh", "h"),
    ("sh", "s"),
    ("ch", "c"),
    ("dj", "d"),
    ("gj", "g"),
    ("kj", "k"),
    ("nj", "ni"),
    ("lj", "li"),
    ("ts", "c"),
    ("tz", "c"),
    ("ph", "f"),
    ("th", "t"),
    ("ck", "k"),
    ("ou", "u"),
    ("oe", "o"),
    ("ue", "u"),
    ("ae", "a"),
    ("gg", "ng"),
    ("x", "ks"),
    ("q", "k"),
    ("w", "v"),
    ("j", "i"),
    ("y", "i"),
)
_DOUBLE: Final = re.compile(r"(.)\1+")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")


def comparison_key(name: str) -> str:
    """The key of a name in Latin, Greek or Cyrillic letters: ASCII words, sorted, as parts of a name change places."""
    # Imported at first use, as the other libraries of the language are.
    from anyascii import anyascii

    letters = unicodedata.normalize("NFD", name.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    for greek, latin in _GREEK:
        bare = re.sub(greek, latin, bare)
    text = anyascii(bare.translate(_BULGARIAN)).lower().replace("'", "").replace("-", " ")
    return " ".join(sorted(_folded(word) for word in _NO_WORD.split(text) if word))


def _folded(word: str) -> str:
    for spelling, sound in _LATIN:
        word = word.replace(spelling, sound)
    return _DOUBLE.sub(r"\1", word)
