"""A short way for the one request that comes by the hundred, so that sealing is what a post costs.

FastAPI routes, decodes, checks and encodes in general terms. A request that is in order needs only the model; any
other one goes FastAPI's way from the start, so that there is one place where errors are found and worded.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nodes.outgoing import Outgoing
from schemas.names import refuse_repeated

# In the scope of a request that was in order, but could not be done: what was raised.
FAILED: Final = "seci_failed"


def accepted_answer(path: str, accepted: dict[str, Any]) -> JSONResponse:
    """The answer to a message that is in the outbox."""
    return JSONResponse(accepted, 202, {"Location": f"{path}/{accepted['id']}"})


@dataclass(frozen=True, slots=True)
class QuickPost:
    """Before the application `app`: a JSON object posted to `path` with the right token is given to `take`.

    What `take` returns is answered with 202. What it raises is raised in the application, by the endpoint, which finds
    it in the scope under FAILED.
    """

    app: ASGIApp
    path: str
    token: str
    longest: int
    take: Callable[[Outgoing], Awaitable[dict[str, Any]]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if not self._is_quick(scope):
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        try:
            message = Outgoing.model_validate_json(body)
        except ValidationError:
            await self.app(scope, _again(body, receive), send)
            return
        try:
            refuse_repeated(body)
            accepted = await self.take(message)
        except Exception as error:
            await self.app({**scope, FAILED: error}, _again(body, receive), send)
            return
        await accepted_answer(self.path, accepted)(scope, receive, send)

    def _is_quick(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self.path:
            return False
        # The first of a name counts, as behind us: two that disagree must not be read in two ways.
        headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        length = headers.get(b"content-length", b"")
        return (
            headers.get(b"content-type") == b"application/json"
            and length.isdigit()
            and int(length) <= self.longest
            and secrets.compare_digest(headers.get(b"authorization", b""), f"Bearer {self.token}".encode())
        )


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A request's messages once more, for who did not see its body."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
