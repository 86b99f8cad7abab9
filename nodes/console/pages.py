"""The node's console at /console of the agent's own server: sign in with the API's token, look, sign out.

It only reads. The token is in no address and no log; what the browser gets for it is a short session.
"""

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crypto.log import log
from crypto.pages import (
    AGAIN,
    FRESH,
    LOOPBACK,
    REFRESH_S,
    Strict,
    form,
    is_of_own_page,
    moment,
    page,
    stylesheet,
    templates,
)
from nodes.agent import Agent
from nodes.console.sessions import WRONG_S, Attempts, Sessions
from nodes.console.view import view
from nodes.status import refused, status

PATH: Final = "/console"
SIGN_IN: Final = f"{PATH}/sign-in"
SIGN_OUT: Final = f"{PATH}/sign-out"
STYLE: Final = f"{PATH}/console.css"
MOST_REFUSED: Final = 10
_OWN: Final = "#1d4f91"
_TEMPLATES: Final = templates(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Console:
    """The pages of one agent, for who has its token."""

    agent: Agent
    token: str
    sessions: Sessions = field(default_factory=Sessions)
    attempts: Attempts = field(default_factory=Attempts)

    @property
    def cookie(self) -> str:
        """Its name has the node's: of several agents on one machine, a browser knows only one address."""
        return f"seci-console-{self.agent.settings.node}"

    async def look(self, request: Request) -> Response:
        """The page, for who is signed in."""
        # A page that loads itself again is no sign that somebody is there.
        left = self.sessions.left(request.cookies.get(self.cookie, ""), used=AGAIN not in request.query_params)
        if left is None:
            return _to(SIGN_IN)
        box, now = self.agent.box, time.time_ns() // 1_000_000
        try:
            found = await status(self.agent)
            last = await box.run(refused, MOST_REFUSED)
        except SQLAlchemyError as error:
            log.error("store_failed", error=type(error).__name__)
            return self._error(503, "The node's store does not answer now: is its disk full?")
        own = self.agent.trust.nodes.get(self.agent.settings.node)
        ends = moment(now + int(left * 1000), now)
        shown = {"view": view(found, own, last), "ends": ends}
        return page(_TEMPLATES, "look.html", _PLACES | shown)

    async def ask(self, _: Request) -> Response:
        """The form to sign in with."""
        return self._form(200, None)

    async def sign_in(self, request: Request) -> Response:
        """Takes the token, once it comes from our own form."""
        if not is_of_own_page(request.headers, request.url.scheme):
            return self._form(403, "This form was not sent from this console: sign in here.")
        if self.attempts.are_too_many():
            log.warning("console_paused")
            answer = self._form(429, f"Too many wrong tokens: wait {WRONG_S} seconds, then try again.")
            answer.headers["Retry-After"] = str(WRONG_S)
            return answer
        given = ((await form(request)) or {}).get("token", "").strip()
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            self.attempts.failed()
            log.warning("console_refused")
            return self._form(403, "That token is wrong. It is the content of api.token of the node's folder.")
        self.sessions.end(request.cookies.get(self.cookie, ""))
        log.info("console_signed_in")
        answer = _to(PATH)
        answer.set_cookie(
            self.cookie,
            self.sessions.begin(),
            path=PATH,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Ends the session, here and not only in the browser."""
        if not is_of_own_page(request.headers, request.url.scheme):
            return self._form(403, "This form was not sent from this console.")
        self.sessions.end(request.cookies.get(self.cookie, ""))
        answer = _to(SIGN_IN)
        answer.delete_cookie(self.cookie, path=PATH, httponly=True, samesite="strict")
        return answer

    def _form(self, code: int, wrong: str | None) -> Response:
        return page(
            _TEMPLATES,
            "sign_in.html",
            _PLACES | {"style": f"{STYLE}?{FRESH}", "node": self.agent.settings.node, "wrong": wrong},
            code,
        )

    def _error(self, code: int, text: str) -> Response:
        return page(_TEMPLATES, "error.html", _PLACES | {"node": self.agent.settings.node, "text": text}, code)


_PLACES: Final[dict[str, Any]] = {
    "path": PATH,
    "sign_in": SIGN_IN,
    "sign_out": SIGN_OUT,
    "style": STYLE,
    "refresh": f"{REFRESH_S}; url={PATH}?{AGAIN}",
}


def _to(place: str) -> Response:
    return RedirectResponse(place, 303)


def make_console(agent: Agent, token: str, sessions: Sessions | None = None) -> ASGIApp:
    """The application under /console; agents listen on loopback only."""
    console = Console(agent, token, sessions or Sessions())
    routes = [
        Route(PATH, console.look),
        Route(SIGN_IN, console.ask),
        Route(SIGN_IN, console.sign_in, methods=["POST"]),
        Route(SIGN_OUT, console.sign_out, methods=["POST"]),
        Route(STYLE, stylesheet(_OWN)),
    ]
    return Strict(Starlette(routes=routes), LOOPBACK)


def with_console(app: ASGIApp, console: ASGIApp) -> ASGIApp:
    """Both of them: the console where its paths are, the application everywhere else."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        await (console if path == PATH or path.startswith(f"{PATH}/") else app)(scope, receive, send)

    return choose
