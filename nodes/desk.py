"""The way to the hub's join desk over HTTPS: who it is, held against the token's pin, then what it answers."""

import ssl
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from pydantic import ValidationError

from crypto import typed
from crypto.errors import CryptoError
from crypto.joining import pin_of
from crypto.tls import asking_context, server_context
from nodes.errors import AnswerUnfit, DeskUnreachable, HubForeign, JoinRefused
from schemas.joining import MAX_ANSWER, HubIdentity, JoinAnswer, JoinRequest

_PATIENCE_S: Final = 30.0
_MAX_IDENTITY: Final = 64 * 1024
_LATER: Final = (429, 503)


class AskLater(Exception):
    """It answers, and not now."""


@dataclass(frozen=True)
class Desk:
    """A desk that has shown to be of the hub that a token names."""

    url: str
    context: ssl.SSLContext

    @classmethod
    def find(cls, url: str, pin: bytes) -> "Desk":
        """Raises DeskUnreachable, HubForeign, AskLater."""
        url = url.rstrip("/")
        # Nothing is said but this question, and the answer proves itself by the pin or is not believed.
        found = _call(url, asking_context(), "GET", "/v1/hub", None, _MAX_IDENTITY)
        foreign = HubForeign(
            f"{url} is not the hub that the token names",
            "compare the address with the operators'; if it is right, somebody stands between: telephone them",
        )
        try:
            identity = HubIdentity.model_validate_json(found)
            known = pin_of(identity)
        except (ValidationError, CryptoError) as error:
            raise foreign from error
        if known != pin:
            raise foreign
        return cls(url, server_context(identity.ca_pem))

    def ask(self, join: JoinRequest) -> JoinAnswer:
        """Raises DeskUnreachable, HubForeign, JoinRefused, AnswerUnfit, AskLater."""
        body = join.model_dump_json(exclude_none=True).encode()
        return parse(_call(self.url, self.context, "POST", "/v1/join", body, MAX_ANSWER))


def busy(url: str) -> DeskUnreachable:
    """It answered each time that it has no time."""
    return DeskUnreachable(f"{url} has no time, or its database is down", "run the same command again later")


def parse(data: bytes) -> JoinAnswer:
    """The answer in these bytes. Raises AnswerUnfit."""
    try:
        return JoinAnswer.model_validate_json(data)
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})) or "all of it"
        raise AnswerUnfit(
            f"it is no answer to a request to join (wrong: {fields})", "ask the hub's operators for it again"
        ) from error


def _call(url: str, context: ssl.SSLContext, method: str, path: str, body: bytes | None, most: int) -> bytes:
    headers = {"Content-Type": "application/json"}
    try:
        with (
            httpx2.Client(verify=context, timeout=_PATIENCE_S, follow_redirects=False, trust_env=False) as client,
            client.stream(method, url + path, content=body, headers=headers) as answer,
        ):
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > most:
                    raise DeskUnreachable(f"{url} answers with more than any hub would", "check the address")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        if _is_of_certificate(error):
            raise HubForeign(
                f"{url} does not show a certificate of the hub under this name: {typed.why(error)}",
                "use the name that the operators gave you; if it is that, somebody stands between: telephone them",
            ) from error
        raise DeskUnreachable(
            f"no join desk answers at {url}: {typed.why(error)}",
            "check the address and the network; without a way in, join with a file (docs/node.md)",
        ) from error
    if answer.status_code == httpx2.codes.OK:
        return bytes(content)
    if answer.status_code in _LATER:
        raise AskLater
    raise _refused(url, answer.status_code, bytes(content))


def _is_of_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refused(url: str, status: int, content: bytes) -> Exception:
    try:
        problem: Any = httpx2.Response(status, content=content).json()
        return JoinRefused(str(problem["code"]), str(problem["detail"]), str(problem["next"]))
    except (ValueError, KeyError, TypeError):
        return DeskUnreachable(f"{url} answers with HTTP status {status}, and not as a join desk", "check the address")
