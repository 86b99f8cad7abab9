"""The command line's way to a running agent: its REST API, found and authorised through the node's folder."""

import json
import ssl
from pathlib import Path
from typing import Any, Final

import httpx2

from crypto.errors import HsmUnavailable
from nodes.errors import AgentUnreachable, NodeError, NotSetUp

# What was typed is at fault, or the file that it names, and typed otherwise it would do (docs/exit-codes.md).
_TYPED_WRONG: Final = (
    "request_invalid",
    "body_invalid",
    "json_malformed",
    "name_repeated",
    "too_large",
    "kind_unknown",
    "time_without_zone",
    "expires_too_late",
    "task_force_missing",
    "task_force_unknown",
    "task_force_mismatch",
    "recipient_unknown",
    "recipient_not_a_member",
    "agency_not_of_sender",
    "reply_without_question",
    "reply_not_to_asker",
    "handling_not_of_kind",
    "recipients_not_named",
    "restrictions_missing",
    "kind_not_of_task_force",
    "original_unknown",
    "original_differs",
    "recipients_wider",
    "amended_kind_differs",
    "operation_mismatch",
    "operation_unplanned",
)

# The agent speaks plain HTTP on loopback. Without this each call would read the machine's authorities first, which
# takes longer than the call; and this one believes none of them.
_NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ApiRefused(NodeError):
    """The agent's API answered with a problem; `fields` has what is wrong with which field, if any is.

    The exit code is 2 if what was typed is at fault, 1 if the agent is, and else 4.
    """

    def __init__(self, problem: dict[str, Any], status: int) -> None:
        fields = [_field(item) for item in problem.get("errors") or ()]
        detail, next_step = str(problem.get("detail", "refused")), str(problem.get("next", ""))
        if fields:
            detail = f"wrong: {', '.join(item['field'] for item in fields)}"
            next_step = "correct what is named, and repeat the command"
        super().__init__(detail, next_step, fields)
        self.code = str(problem.get("code", "refused"))  # type: ignore[misc]
        server = AgentUnreachable.exit_code if self.code == HsmUnavailable.code else 1
        self.exit_code = server if status >= 500 else 2 if self.code in _TYPED_WRONG else 4  # type: ignore[misc]


def _field(item: dict[str, str]) -> dict[str, str]:
    return {"field": item["field"], "found": item["found"], "wanted": item["wanted"]}


def call(home: Path, method: str, path: str, **options: Any) -> Any:
    """The JSON of an API call. Raises AgentUnreachable, ApiRefused."""
    if not (home / "node.json").exists():
        raise NotSetUp(f"{home} is no node's folder", "name it with --home, or make it with `seci-node init`")
    try:
        token = (home / "api.token").read_text().strip()
    except OSError as error:
        raise NotSetUp(
            f"{home / 'api.token'} does not read: {error.strerror}",
            "do this as the user who runs the agent; if it is gone, `seci-node init` with the node's id makes one",
        ) from error
    try:
        address = json.loads((home / "api.json").read_text())["url"]
        headers = {"Authorization": f"Bearer {token}"}
        url, verify = f"{address}{path}", _NO_AUTHORITIES
        answer = httpx2.request(method, url, headers=headers, timeout=30, verify=verify, **options)
    except (OSError, ValueError, KeyError, httpx2.HTTPError) as error:
        raise AgentUnreachable(f"no agent answers for {home}", f"start it: seci-node run --home {home}") from error
    if answer.status_code >= 400:
        raise ApiRefused(_json(answer), answer.status_code)
    return answer.json()


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": f"HTTP {answer.status_code}", "code": "http_error"}
