"""Asking a time-stamping authority (TSA), RFC 3161 over HTTP: it is outside of the exchange and may answer anything.

It learns a digest and nothing else. Whatever it does costs a bounded time and a bounded memory, and ends in a timestamp
that was verified or in an error with a code.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx2

from crypto.errors import TsaRootsUnusable
from crypto.timestamp import MAX_RESPONSE, MAX_ROOTS, Timestamp, ask, read_roots, verify_timestamp
from hub.errors import TsaAnswerUnfit, TsaClockOff, TsaUnreachable
from hub.settings import Tsa
from hub.watch import iso

ANSWER_S: Final = 20.0
TOLERANCE_S: Final = 300.0
_HEADERS: Final = {
    "content-type": "application/timestamp-query",
    "accept": "application/timestamp-reply",
    # Nothing is unpacked: a small answer could become a large one.
    "accept-encoding": "identity",
}
_SEE: Final = 'see docs/operations.md, section "External time"; it is tried again by itself'


@dataclass(frozen=True, slots=True)
class Stamp:
    """A TSA's answer (DER) that was verified, and what it says."""

    response: bytes
    said: Timestamp


async def stamp(tsa: Tsa, data: bytes, clock: Callable[[], float] = time.time) -> Stamp:
    """A timestamp over `data`, from a TSA that the settings trust. `clock` gives seconds since the epoch.

    Raises TsaUnreachable, TsaAnswerUnfit, TsaClockOff, TimestampInvalid (also for the file of roots).
    """
    try:
        with tsa.roots.open("rb") as file:
            roots = read_roots(file.read(MAX_ROOTS))
    except OSError as error:
        raise TsaRootsUnusable(f"{tsa.roots}: {error.strerror}") from error
    question, asked = ask(data), clock()
    response = await _post(tsa.url, question.request)
    said = verify_timestamp(response, data, roots, question.nonce)
    _check_clock(said, asked, clock())
    return Stamp(response, said)


async def _post(url: str, request: bytes) -> bytes:
    # To read the system's authorities takes tens of milliseconds, in which nothing else would move.
    context = await asyncio.to_thread(ssl.create_default_context)
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            httpx2.AsyncClient(verify=context, timeout=ANSWER_S, follow_redirects=False) as client,
            client.stream("POST", url, content=request, headers=_HEADERS) as answer,
        ):
            if answer.status_code != httpx2.codes.OK:
                raise TsaAnswerUnfit(f"the TSA answered with HTTP status {answer.status_code}", _SEE)
            return await _body(answer)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        # TimeoutError is an OSError.
        raise TsaUnreachable(f"the TSA does not answer: {type(error).__name__}", _SEE) from error


async def _body(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MAX_RESPONSE:
            raise TsaAnswerUnfit(f"the TSA's answer is larger than {MAX_RESPONSE} bytes", _SEE)
    return bytes(body)


def _check_clock(said: Timestamp, asked: float, answered: float) -> None:
    earliest, latest = (asked - TOLERANCE_S) * 1000, (answered + TOLERANCE_S) * 1000
    if said.at - said.within < earliest or said.at + said.within > latest:
        ours = iso(int(answered * 1000))
        raise TsaClockOff(
            f"the TSA says {iso(said.at)} +- {said.within} ms, and our clock {ours}",
            "see which of the two clocks is wrong; nothing was kept",
        )
