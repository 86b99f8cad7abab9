"""What the consoles of node and hub share: pages without scripts, strict headers, forms from their own pages only.

Whatever is put into a template is escaped. A browser is told to load nothing but the one stylesheet, to keep nothing,
and to let no other page frame ours or send our forms.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crypto.expiry import Ending

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
# A page that is looked at is loaded again so often, in seconds. By this address: nobody has asked for it.
REFRESH_S: Final = 15
AGAIN: Final = "again"
# A browser may keep a whole page for its button "back", in spite of no-store, and after its cookie is gone. It puts it
# away when the next page is there: so what that one loads, the stylesheet of the form, says that it be forgotten.
FRESH: Final = "fresh"
FORGET: Final = {"Clear-Site-Data": '"cache"'}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MOST_FORM: Final = 4096
_FORM_S: Final = 10.0
_SHARED: Final = Path(__file__).parent
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]*\]|[^:]*)(?::\d{1,5})?")
_UNITS: Final = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person is to see first: under which name, what it is, what to do. `loud` is an alarm, else a warning."""

    name: str
    text: str
    next: str
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC, as ISO 8601 and in words."""

    iso: str
    words: str


def moment(at: int, now: int) -> Moment:
    """Of a time in ms."""
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Moment(text, in_words(at, now))


def moment_of(iso: str | None, now: int) -> Moment | None:
    """Of a time in ISO 8601, if there is one."""
    return None if iso is None else moment(int(datetime.fromisoformat(iso).timestamp() * 1000), now)


def in_words(at: int, now: int) -> str:
    """How far a time (ms) is from now, in the largest unit of which there are two at least."""
    span = abs(at - now)
    name, unit = next(((name, unit) for name, unit in _UNITS if span >= 2 * unit), _UNITS[-1])
    number = span // unit
    told = f"{number} {name}" if number == 1 else f"{number} {name}s"
    return f"in {told}" if at > now else f"{told} ago"


@dataclass(frozen=True, slots=True)
class Expiry:
    """A line of the table of what ends; `soon` if a step has come."""

    what: str
    at: Moment
    days: int
    step: str
    soon: bool


def expiry_of(ending: Ending, now: int) -> Expiry:
    """As it is shown."""
    step = {None: "more than 30 days", 0: "EXPIRED", 1: "1 day or less"}.get(ending.step, f"{ending.step} days")
    days = max(0, (ending.end - now) // 86_400_000)
    return Expiry(ending.what, moment(ending.end, now), days, step, ending.step is not None)


def templates(folder: Path) -> Environment:
    """The templates of a folder, and what they share. A name that is not given is an error, every value is escaped."""
    return Environment(
        loader=FileSystemLoader([folder, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def stylesheet(own: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers with the one stylesheet there is; `own` is the colour by which a program's pages are known."""
    text = f":root {{ --own: {own}; }}\n{(_SHARED / 'console.css').read_text()}"

    async def answer(request: Request) -> Response:
        return Response(text, media_type="text/css", headers=FORGET if FRESH in request.query_params else None)

    return answer


def page(templates: Environment, name: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """An answer made of a template."""
    return HTMLResponse(templates.get_template(name).render(values), status)


def is_of_own_page(headers: Headers, scheme: str) -> bool:
    """Whether a form was sent by a page of ours; `scheme` is the one that it came by.

    Our pages tell no referrer. Then browsers give no origin either, `null`, and say where a form is from by
    Sec-Fetch-Site, which no page can set.
    """
    own, origin = f"{scheme}://{headers.get('host', '')}", headers.get("origin")
    if headers.get("sec-fetch-site") == "same-origin":
        return origin in (own, "null")
    return origin == own and "sec-fetch-site" not in headers


async def form(request: Request) -> Mapping[str, str] | None:
    """The fields of a short form; None for anything else."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(_FORM_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_FORM:
                    return None
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=8))
    except (TimeoutError, ClientDisconnect, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Strict:
    """Before an application: its headers are on every answer, and who calls it by a name that is not its own gets none.

    So a page of somebody else's, whose name leads here all of a sudden, is not one of ours to the browser.
    """

    app: ASGIApp
    names: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        found = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
        known = found is not None and found[1].lower() in self.names
        await (self.app if known else _MISDIRECTED)(scope, receive, strictly)


_MISDIRECTED: Final[Response] = PlainTextResponse("this console is not called by that name", 421)
