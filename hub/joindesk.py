"""The join desk: the hub's one HTTP service for nodes that are not in yet (docs/protocol.md 15).

`GET /v1/hub` says which hub this is, `POST /v1/join` takes a request, again and again until it is answered with the
welcome. TLS with a certificate under the hub's own authority, which the node's token pins. It tells nobody which tokens
there are, and hears each address only so often.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crypto import keyfile
from crypto.errors import CryptoError
from crypto.log import log
from hub import admission, database, joining
from hub.admission import Office
from hub.database import DATABASE_TROUBLE
from hub.deskdoor import DeskProtocol, TlsFiles, configured, listening
from hub.errors import (
    EnrolmentRefused,
    HubError,
    InvitationOutdated,
    RequestUnreadable,
    TokenExpired,
    TokenOfAnother,
    TokenRefused,
    TokenUsed,
    TooMany,
)
from hub.fairness import Allowance, place_of
from hub.ledger import check_signer
from hub.monitor import PROBLEM, Server
from hub.setup import DESK
from schemas.joining import MAX_REQUEST

Handler = Callable[[Request], Awaitable[Response]]

# Of one address (of IPv6, its /64), and of all together: at once, and a second in the long run. A node that waits asks
# every few seconds.
EACH: Final = (20, 1.0)
ALL: Final = (200, 20.0)
_ADDRESSES: Final = 10_000
_READ_S: Final = 15.0
_CONNECTIONS: Final = 128
_ROUND_S: Final = 5.0
_AGAIN_S: Final = 10
_LET_IT_BE_MADE: Final = "let `seci-node join` make it"
_STATUS: Final[dict[type[HubError], int]] = {
    RequestUnreadable: 422,
    TokenRefused: 403,
    TokenOfAnother: 403,
    TokenExpired: 410,
    TokenUsed: 409,
    InvitationOutdated: 410,
    EnrolmentRefused: 403,
    TooMany: 429,
}


@dataclass(slots=True)
class Doorkeeper:
    """Who may ask now. Times are seconds of the monotonic clock; of addresses it remembers those of late."""

    each: tuple[int, float] = EACH
    _all: Allowance = field(default_factory=lambda: Allowance(ALL[1], ALL[0]))
    _each: OrderedDict[str, Allowance] = field(default_factory=OrderedDict)

    def admit(self, address: str, now: float) -> None:
        """Raises TooMany. Who is kept out spends nothing of what all have together."""
        place = place_of(address)
        own = self._each.pop(place, None) or Allowance(self.each[1], self.each[0])
        self._each[place] = own
        if len(self._each) > _ADDRESSES:
            self._each.popitem(last=False)
        if not (own.grant(1, now) and self._all.grant(1, now)):
            wait_s = max(_AGAIN_S, round(1 / self.each[1]))
            raise TooMany("too many requests", f"wait {wait_s} seconds, then ask again")
        own.spend(1, now)
        self._all.spend(1, now)


def make_app(office: Office) -> Starlette:
    """The application."""
    identity, doorkeeper = office.identity, Doorkeeper()

    async def hub(_: Request) -> Response:
        return JSONResponse(identity.model_dump(exclude_none=True))

    async def join(request: Request) -> Response:
        asked = joining.parse(await _body(request))
        found = await admission.receive(office, asked, by_file=False)
        answered = await admission.answer(office, found)
        log.info("join_asked", node=found.node, stage=answered.stage, proven=bool(found.proven))
        return JSONResponse(answered.model_dump(mode="json", exclude_none=True))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def guarded(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                doorkeeper.admit(request.client.host if request.client else "", time.monotonic())
                return await handler(request)
            except HubError as error:
                return _refused(error)
            except DATABASE_TROUBLE as error:
                return _refused(database.explained(error))
            except (CryptoError, OSError) as error:
                log.warning("join_failed", error=type(error).__name__, detail=str(error)[:200])
                return _refused(HubError("its keys do not open", "start the desk anew"))

        return handle

    return Starlette(
        routes=[
            Route("/v1/hub", guarded(hub)),
            Route("/v1/join", guarded(join), methods=["POST"]),
            Route("/healthz", healthz),
        ]
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_REQUEST:
                    break
    except (TimeoutError, ClientDisconnect) as error:
        raise RequestUnreadable("the request did not come to its end", "send it again") from error
    if len(body) > MAX_REQUEST:
        raise RequestUnreadable(f"a request has at most {MAX_REQUEST} bytes", _LET_IT_BE_MADE)
    return bytes(body)


def _refused(error: HubError) -> Response:
    """What the node is told; what is wrong with the hub itself stays in its log."""
    log.warning("join_refused", code=error.code)
    status = _STATUS.get(type(error), 503)
    code, detail, step = error.code, str(error), error.next_step
    if status == 503:
        code, detail, step = "not_now", "the hub cannot answer now", "ask again later"
    body = {"type": "about:blank", "title": "Not taken", "status": status, "code": code, "detail": detail, "next": step}
    headers = {"Retry-After": str(_AGAIN_S)} if status in (429, 503) else {}
    return JSONResponse(body, status, headers, media_type=PROBLEM)


async def work_off(office: Office) -> None:
    """Goes on with what was left in the middle, every few seconds, for ever."""
    while True:
        try:
            await admission.carry_all_on(office)
        except HubError as error:
            log.warning("enrolment_stuck", code=error.code, detail=str(error), next=error.next_step)
        except (CryptoError, OSError) as error:
            # The hub's keys do not open, say, since they have another secret: it must go on, and say so.
            log.warning("enrolment_stuck", error=type(error).__name__, detail=str(error)[:200])
        except DATABASE_TROUBLE as error:
            log.warning("enrolment_stuck", code=database.explained(error).code)
        await asyncio.sleep(_ROUND_S)


async def until(stop: asyncio.Event, office: Office) -> None:
    """Returns once `stop` is set. Raises HandedOver once another key signs than the office has."""
    while not stop.is_set():
        try:
            async with office.engine.connect() as connection:
                await check_signer(connection, office.log)
        except DATABASE_TROUBLE as error:
            log.warning("signer_unknown", code=database.explained(error).code)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _ROUND_S)


@asynccontextmanager
async def opened(office: Office, listen: str, port: int, name: str) -> AsyncIterator[str]:
    """Serves nodes while the block runs, and gives the URL under `name`. Raises PortTaken."""
    with listening(listen, port) as listener:
        server = Server(_configured(office))
        url = f"https://{name}:{listener.getsockname()[1]}"
        tasks = [asyncio.create_task(server.serve(sockets=[listener])), asyncio.create_task(work_off(office))]
        try:
            yield url
        finally:
            server.should_exit = True
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _configured(office: Office) -> uvicorn.Config:
    home = office.settings.home
    password = keyfile.tls_password(home / f"{DESK}.key", office.settings.secret()).decode()
    files = TlsFiles(home / f"{DESK}.pem", home / f"{DESK}.key", password)
    return configured(make_app(office), DeskProtocol, files, _CONNECTIONS)
