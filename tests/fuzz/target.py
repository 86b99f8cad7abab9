"""What is fuzzed: a parser, valid bytes to begin from, how they are altered, and what may come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.fuzz import mutation
from tests.fuzz.mutation import Mutation

OF_CBOR: Final = (mutation.bits, mutation.cbor, mutation.cbor)
OF_JSON: Final = (mutation.bits, mutation.in_json, mutation.in_json)
OF_TEXT: Final = (mutation.bits,)


@dataclass(frozen=True)
class Target:
    """`parse` takes any bytes and raises only what is in `refusals`."""

    name: str
    seeds: tuple[bytes, ...]
    mutations: tuple[Mutation, ...]
    parse: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
