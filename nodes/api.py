"""The agent's REST API on loopback: post messages, follow them, read the inbox.

Every error is application/problem+json (RFC 9457) with a stable `code` and a `next` step. Callers
present the bearer token of the node's folder (RFC 6750).
"""

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from crypto.errors import CryptoError, HsmUnavailable
from crypto.log import log
from nodes import evidence, inbox, notices, outbox, store
from nodes.agent import Agent
from nodes.api_renewal import add_renewal
from nodes.api_taskforces import add_task_forces
from nodes.console.pages import make_console, with_console
from nodes.errors import NodeError
from nodes.metrics import exposition
from nodes.outgoing import Outgoing
from nodes.quick import FAILED, QuickPost, accepted_answer
from nodes.status import status as status_of
from nodes.status import witness_of
from nodes.times import iso
from schemas import registry, wording
from schemas.header import MAX_BODY
from schemas.names import NameRepeated, refuse_repeated

# The JSON around the body is small; what is far over the limit is refused before it is read.
MAX_REQUEST: Final = MAX_BODY + 64 * 1024
MESSAGES: Final = "/v1/messages"
PROBLEM: Final = "application/problem+json"
TOO_LARGE: Final = f"the body may have at most {MAX_BODY} bytes (1 MiB) inline"


class Problem(BaseModel):
    """An error (RFC 9457): what happened, under a stable code, and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    next: str
    errors: list[dict[str, str]] = []


_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": Problem.model_json_schema()}}}
    for status in (400, 401, 404, 405, 409, 411, 413, 415, 422, 500, 503)
}


def make_app(agent: Agent, token: str) -> ASGIApp:
    """The application of one agent; `token` is what callers must present."""
    # The pages that FastAPI makes load scripts from other hosts: they are off.
    app = FastAPI(title="SECI node agent", version="1", docs_url=None, redoc_url=None, responses=_RESPONSES)
    bearer = HTTPBearer(auto_error=False)

    # Not a plain function: FastAPI would hand each request to a thread for it.
    async def authorised(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        given = credentials.credentials if credentials is not None else ""
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401)

    _add_errors(app)
    _add_refusals(app)
    take = _add_post(app, agent, Depends(authorised))
    _add_messages(app, agent, Depends(authorised))
    _add_state(app, agent, Depends(authorised))
    add_task_forces(app, agent, Depends(authorised))
    _add_health(app, agent)
    add_renewal(app, agent, Depends(authorised))
    return QuickPost(with_console(app, make_console(agent, token)), MESSAGES, token, MAX_REQUEST, take)


def _add_post(app: FastAPI, agent: Agent, authorised: Any) -> Callable[[Outgoing], Awaitable[dict[str, Any]]]:
    async def take(message: Outgoing) -> dict[str, Any]:
        accepted, ready = await outbox.accept(agent.box, message, agent.settings.node, agent.keys, agent.trust)
        if ready is not None:
            agent.sending.post(ready)
        return accepted

    @app.post(
        MESSAGES,
        status_code=202,
        dependencies=[authorised],
        summary="Send a message",
        response_model=dict[str, Any],
    )
    async def post(message: Outgoing, request: Request) -> JSONResponse:
        """Stores the message, sealed; when this answers it is safe. Repeat with the same `id` at will."""
        if (failed := request.scope.get(FAILED)) is not None:
            raise failed
        refuse_repeated(await request.body())
        return accepted_answer(MESSAGES, await take(message))

    return take


def _add_messages(app: FastAPI, agent: Agent, authorised: Any) -> None:
    @app.get(MESSAGES, dependencies=[authorised], summary="Sent messages, newest first")
    async def messages(
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    ) -> dict[str, Any]:
        found = await agent.box.run(outbox.recent, limit, before)
        return {"messages": found, "before": found[-1]["seq"] if len(found) == limit else None}

    @app.get("/v1/messages/{id}", dependencies=[authorised], summary="A sent message and its state")
    async def message(id: UUID) -> dict[str, Any]:
        return await agent.box.run(outbox.describe, agent.box, str(id))

    @app.get("/v1/messages/{id}/evidence", dependencies=[authorised], summary="What proves a sent message to others")
    async def proof(id: UUID, content: bool = False) -> Response:
        """A bundle for `seci-verify`. With `content=true` whoever gets it can read the message too."""
        found = await evidence.evidence_of(agent.box, str(id), agent.hub, with_content=content)
        return Response(found.to_bytes(), media_type="application/json")

    @app.get("/v1/inbox", dependencies=[authorised], summary="Received messages, oldest first")
    async def received(
        after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        kind: str | None = None,
        thread: UUID | None = None,
    ) -> dict[str, Any]:
        """Go on with `after` set to what the last answer gave; nothing is skipped."""
        if kind is not None:
            registry.newest(kind)
        wanted = None if thread is None else str(thread)
        found = await agent.box.run(inbox.listing, agent.box, after, limit, kind, wanted)
        return {"messages": found, "after": found[-1]["seq"] if found else after}

    @app.get("/v1/inbox/{id}", dependencies=[authorised], summary="A received message")
    async def one(id: UUID) -> dict[str, Any]:
        return await agent.box.run(inbox.show, agent.box, str(id))

    @app.get("/v1/inbox/{id}/evidence", dependencies=[authorised], summary="What proves a received message to others")
    async def received_proof(id: UUID, content: bool = False) -> Response:
        """A bundle for `seci-verify`: what came, and that this node acknowledged it. `content` as for one sent."""
        node, ledger = agent.settings.node, agent.hub
        found = await evidence.evidence_of_received(agent.box, str(id), node, ledger, with_content=content)
        return Response(found.to_bytes(), media_type="application/json")

    @app.get("/v1/notices", dependencies=[authorised], summary="Missed deadlines; who reads more")
    async def deadlines(
        after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """Who has not answered or taken a message in time, and whom a new roster lets read more. Go on with `after`."""
        found = await agent.box.run(notices.listing, after, limit)
        return {"notices": found, "after": found[-1]["seq"] if found else after}


def _add_state(app: FastAPI, agent: Agent, authorised: Any) -> None:
    @app.get("/v1/status", dependencies=[authorised], summary="Link, the hub's answers, counts, roster")
    async def status() -> dict[str, Any]:
        return (await status_of(agent)).described()


def _add_health(app: FastAPI, agent: Agent) -> None:
    # Without a token, for monitors on this machine: counts and ages, and no word of any message.
    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether anything may keep messages from leaving or arriving")
    async def readyz() -> JSONResponse:
        warnings = (await status_of(agent)).shortcomings()
        if warnings:
            return _problem(503, "not_ready", "Not ready", "; ".join(warnings), "run `seci-node doctor`")
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", summary="Prometheus' text format", response_class=PlainTextResponse)
    async def metrics() -> Response:
        text = exposition(
            await agent.box.run(store.counts),
            await agent.box.run(store.oldest_waiting),
            agent.link.state,
            agent.witness.answers(agent.link.state),
            agent.trust.roster.version,
            agent.settings.node,
            await witness_of(agent),
            agent.renewing.ends(),
        )
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    next_step: str,
    errors: list[dict[str, str]] | None = None,
) -> JSONResponse:
    body = Problem(title=title, status=status, code=code, detail=detail, next=next_step, errors=errors or [])
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body.model_dump(), status, headers, PROBLEM)


_HTTP: Final = {
    401: (
        "token_wrong",
        "the bearer token is missing or wrong",
        "send the content of api.token of the node's folder",
    ),
    404: ("path_unknown", "there is nothing at this path", "see /openapi.json"),
    405: ("method_not_allowed", "this method is not for this path", "see /openapi.json"),
}


class _Limit:
    """Refuses a request that is too large, or no JSON, by its headers, before anything of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refuse_by_headers(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


def _refuse_by_headers(scope: Scope) -> JSONResponse | None:
    headers = Headers(scope=scope)
    length = headers.get("content-length", "")
    if scope["method"] == "POST" and not length.isdigit():
        return _problem(411, "length_required", "Length required", "no Content-Length", "send one")
    if scope["method"] == "POST" and not headers.get("content-type", "").startswith("application/json"):
        detail, step = "the request is not declared to be JSON", "send Content-Type: application/json"
        return _problem(415, "content_type_wrong", "Unsupported media type", detail, step)
    if length.isdigit() and int(length) > MAX_REQUEST:
        return _problem(413, "too_large", "Content too large", TOO_LARGE, "shorten the body or split it")
    return None


def _add_errors(app: FastAPI) -> None:
    app.add_middleware(_Limit)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code, detail, step = _HTTP.get(error.status_code, ("http_error", str(error.detail), "see /openapi.json"))
        return _problem(error.status_code, code, code.replace("_", " ").capitalize(), detail, step)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        broken = next((item for item in found if item["type"] == "json_invalid"), None)
        if broken is not None:
            detail = f"the request is not JSON: {broken['ctx']['error']} at character {broken['loc'][-1]}"
            return _problem(400, "json_malformed", "Malformed JSON", detail, "correct it there")
        return _fields(found)


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(ValidationError)
    async def routing(_: Request, error: ValidationError) -> JSONResponse:
        return _fields(error.errors(include_url=False))

    @app.exception_handler(registry.BodyInvalid)
    async def body(_: Request, error: registry.BodyInvalid) -> JSONResponse:
        errors = [{"field": f"body.{item.field}", "wanted": item.wanted, "found": item.found} for item in error.errors]
        return _problem(422, error.code, "Body invalid", str(error), "correct the fields named in `errors`", errors)

    @app.exception_handler(NameRepeated)
    async def repeated(_: Request, error: NameRepeated) -> JSONResponse:
        return _problem(400, error.code, "Name repeated", str(error), "name each member of an object once")

    @app.exception_handler(registry.KindUnknown)
    async def kind(_: Request, error: registry.KindUnknown) -> JSONResponse:
        return _problem(422, error.code, "Kind unknown", str(error), "use one of the kinds named")

    @app.exception_handler(NodeError)
    async def node(_: Request, error: NodeError) -> JSONResponse:
        return _problem(
            error.status, error.code, error.code.replace("_", " ").capitalize(), str(error), error.next_step
        )

    @app.exception_handler(SQLAlchemyError)
    async def stored(_: Request, error: SQLAlchemyError) -> JSONResponse:
        log.error("store_failed", error=type(error).__name__)
        detail = "the node's store does not take anything now: is its disk full?"
        return _problem(503, "store_failed", "Store failed", detail, "free its disk, then repeat with the same id")

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        # The type alone: its text may hold what the message says.
        log.error("unexpected", error=type(error).__name__)
        return _problem(500, "unexpected", "Unexpected error", "a fault of the agent", "tell the hub's operators")

    @app.exception_handler(CryptoError)
    async def crypto(_: Request, error: CryptoError) -> JSONResponse:
        if error.code == "size_mismatch":
            return _problem(413, "too_large", "Content too large", TOO_LARGE, "shorten the body or split it")
        status = 503 if isinstance(error, HsmUnavailable) else 422
        return _problem(status, error.code, "Cannot be sealed", str(error), "run `seci-node doctor`")


# What the hub sees of a message, and of what is asked for in paths and queries: of these the value itself is told.
_TOLD: Final = frozenset(Outgoing.model_fields) - {"body"} | {"limit", "before", "after", "thread", "content"}
_LONGEST_TOLD: Final = 60


def _fields(found: Any) -> JSONResponse:
    errors = [
        {
            "field": _field(item),
            "wanted": wording.wanted(item, _field(item)),
            "found": "nothing" if item["type"] == "missing" else _found(item),
        }
        for item in found
    ]
    detail = "; ".join(f"{item['field']}: {item['wanted']}" for item in errors)
    return _problem(422, "request_invalid", "Request invalid", detail, "correct the fields named in `errors`", errors)


def _found(item: Any) -> str:
    """What was found, in the caller's terms; of content, and of what may be content, only its JSON type."""
    name, value = _field(item), item.get("input")
    if name in _TOLD and isinstance(value, dict):
        # A rule over several fields finds the whole object, in which times are milliseconds.
        value = value.get(name)
        value = iso(value) if name in ("expires", "reply_by") and isinstance(value, int) else value
    plain = isinstance(value, str | int | float | UUID) and not isinstance(value, bool)
    return str(value) if plain and name in _TOLD and len(str(value)) <= _LONGEST_TOLD else registry.json_type(value)


def _field(item: Any) -> str:
    """The field at fault, without FastAPI's leading `body`, `path` or `query`."""
    parts = [str(part) for part in item["loc"]]
    if len(parts) > 1 and parts[0] in ("body", "path", "query"):
        parts = parts[1:]
    if not parts and ": " in str(item["msg"]):
        return str(item["msg"]).removeprefix("Value error, ").partition(": ")[0]
    return ".".join(parts) or "request"
