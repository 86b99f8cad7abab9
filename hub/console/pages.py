"""The hub's console at /console: operators log in as with `seci-hub login`, look, and log out.

The sessions are those of the database: on record in the ledger, short, ended by `seci-hub logout` as by the button. It
only reads, and shows what the action `look` allows: counts, names and codes, and nothing of a message.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crypto.errors import CryptoError
from crypto.keyfile import Secret
from crypto.log import log
from crypto.pages import AGAIN, FRESH, REFRESH_S, Strict, form, is_of_own_page, moment, page, stylesheet, templates
from hub import credentials, database, login, sessions
from hub.admission import Office
from hub.console.lookout import DATABASE_S, Lookout
from hub.console.view import view
from hub.database import DATABASE_TROUBLE
from hub.entering import enter, leave
from hub.errors import HubError, LoginPaused, LoginRefused, OperatorRefused, SessionRequired, TooMany
from hub.joindesk import Doorkeeper
from hub.login import PasswordProof
from hub.roles import Action, allows
from hub.sessions import Holder
from hub.setup import operators_secret
from hub.shell import limits_of, now_ms

PATH: Final = "/console"
SIGN_IN: Final = f"{PATH}/sign-in"
SIGN_OUT: Final = f"{PATH}/sign-out"
STYLE: Final = f"{PATH}/console.css"
COOKIE: Final = "seci-hub-console"
# Of one address: log-ins at once, and a second in the long run. Each takes some work, and those that pause an account
# get into the ledger, which nobody should fill.
LOG_INS: Final = (10, 1 / 30)
_OWN: Final = "#4c2a6b"
_TEMPLATES: Final = templates(Path(__file__).parent)
_PLACES: Final[dict[str, Any]] = {
    "path": PATH,
    "sign_in": SIGN_IN,
    "sign_out": SIGN_OUT,
    "style": STYLE,
    "refresh": f"{REFRESH_S}; url={PATH}?{AGAIN}",
}
_STATUS: Final[dict[type[HubError], int]] = {LoginRefused: 403, LoginPaused: 429, OperatorRefused: 409, TooMany: 429}


@dataclass(frozen=True, slots=True)
class Console:
    """The pages. One login or logout is under way at a time: each may append to the ledger, and hashes a password."""

    office: Office
    lookout: Lookout
    secret: Secret = field(repr=False)
    one: asyncio.Lock = field(default_factory=asyncio.Lock)
    log_ins: Doorkeeper = field(default_factory=lambda: Doorkeeper(LOG_INS))

    async def look(self, request: Request) -> Response:
        """The page, for who is logged in in a role that may look."""
        try:
            # A page that loads itself again is no sign that somebody is there.
            holder = await self._holder(request, used=AGAIN not in request.query_params)
            if not allows(holder.role, Action.LOOK):
                return _to(SIGN_IN)
            seen = await self.lookout.look()
        except SessionRequired:
            return _to(SIGN_IN)
        except DATABASE_TROUBLE as error:
            return self._told(database.explained(error))
        except (CryptoError, HubError) as error:
            return self._told(error)
        shown = {"view": view(seen), "holder": holder, "ends": moment(holder.ends, now_ms())}
        return page(_TEMPLATES, "look.html", _PLACES | shown)

    async def ask(self, _: Request) -> Response:
        """The form to log in with."""
        return _form(200, None)

    async def sign_in(self, request: Request) -> Response:
        """Logs in, once name, password and code come from our own form."""
        if not is_of_own_page(request.headers, request.url.scheme):
            return _form(403, "This form was not sent from this console: log in here.")
        given = await form(request) or {}
        try:
            self.log_ins.admit(_address(request.scope), time.monotonic())
            token = await self._enter(*(given.get(name, "") for name in ("name", "password", "code")))
        except (HubError, CryptoError, OSError) as error:
            return self._refused(error)
        answer = _to(PATH)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, path=PATH, secure=secure, httponly=True, samesite="strict")
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Ends the session in the database."""
        if not is_of_own_page(request.headers, request.url.scheme):
            return _form(403, "This form was not sent from this console.")
        settings, ledger, token = self.office.settings, self.office.log, request.cookies.get(COOKIE)
        try:
            async with self._alone():
                await asyncio.to_thread(leave, settings, ledger, self.secret, token)
        except (HubError, CryptoError, OSError) as error:
            return self._told(error)
        answer = _to(SIGN_IN)
        answer.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
        return answer

    async def _holder(self, request: Request, *, used: bool) -> Holder:
        office, limits = self.office, limits_of(self.office.settings)
        token = request.cookies.get(COOKIE) or None
        # A database that says nothing must not keep the page, nor a connection of all that there may be.
        async with asyncio.timeout(DATABASE_S), office.engine.begin() as connection:
            return await sessions.holder(connection, office.log, token, limits, self.secret, now_ms(), used=used)

    async def _enter(self, name: str, password: str, code: str) -> str:
        if not credentials.is_name(name):
            raise login.refused()
        async with self._alone():
            # Beside the event loop, in which others look meanwhile: it takes its time, as it is meant to.
            proof = PasswordProof(password, code)
            office = self.office
            token, _ = await asyncio.to_thread(
                enter, office.settings, office.log, self.secret, name, proof, sessions.CONSOLE
            )
        return token

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Raises TimeoutError if the one before does not come to its end: nobody is kept waiting without a word."""
        async with asyncio.timeout(DATABASE_S):
            await self.one.acquire()
        try:
            yield
        finally:
            self.one.release()

    def _refused(self, error: Exception) -> Response:
        code = _STATUS.get(type(error), 503) if isinstance(error, HubError) else 503
        if not isinstance(error, HubError) or code == 503:
            return self._told(error)
        log.warning("console_refused", code=error.code)
        return _form(code, f"{_sentence(str(error))} {_sentence(error.next_step)}")

    def _told(self, error: Exception) -> Response:
        """What is wrong with the hub itself stays in its log, but for its name."""
        code = error.code if isinstance(error, HubError | CryptoError) else type(error).__name__
        log.warning("console_failed", code=code, detail=str(error)[:200])
        text = f"The hub cannot answer now ({code}): see the console's log, or type seci-hub status."
        return page(_TEMPLATES, "error.html", _PLACES | {"text": text}, 503)


def _form(code: int, wrong: str | None) -> Response:
    answer = page(_TEMPLATES, "sign_in.html", _PLACES | {"style": f"{STYLE}?{FRESH}", "wrong": wrong}, code)
    if code == 429:
        answer.headers["Retry-After"] = "30"
    return answer


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _to(place: str) -> Response:
    return RedirectResponse(place, 303)


async def _home(_: Request) -> Response:
    return _to(PATH)


def make_console(office: Office, names: tuple[str, ...]) -> ASGIApp:
    """The application, for who calls it by one of these names. Raises WrongPassphrase, KeyFileRefused."""
    secret = operators_secret(office.settings)
    console = Console(office, Lookout(office.settings, office.engine, office.log), secret)
    routes = [
        Route("/", _home),
        Route(PATH, console.look),
        Route(SIGN_IN, console.ask),
        Route(SIGN_IN, console.sign_in, methods=["POST"]),
        Route(SIGN_OUT, console.sign_out, methods=["POST"]),
        Route(STYLE, stylesheet(_OWN)),
    ]
    return Strict(_Guarded(Starlette(routes=routes)), names)


@dataclass(frozen=True, slots=True)
class _Guarded:
    """Hears each address only so often."""

    app: ASGIApp
    keeper: Doorkeeper = field(default_factory=Doorkeeper)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.keeper.admit(_address(scope), time.monotonic())
        except TooMany as error:
            # Whoever looks is shown the page again by itself.
            text = f"{error}. {error.next_step}."
            answer = page(_TEMPLATES, "error.html", _PLACES | {"text": text}, 429)
            answer.headers["Retry-After"] = str(REFRESH_S)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
