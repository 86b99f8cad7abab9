"""The command line's way to a running agent: its REST API, found and authorised through the node's folder."""

import json
from pathlib import Path
from typing import Any

import httpx2

from nodes.errors import AgentUnreachable, NodeError, NotSetUp


class ApiRefused(NodeError):
    """The agent's API answered with a problem."""

    exit_code = 4

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "refused")), str(problem.get("next", "")))
        self.code = str(problem.get("code", "refused"))  # type: ignore[misc]
        self.problem = problem


def call(home: Path, method: str, path: str, **options: Any) -> Any:
    """The JSON of an API call. Raises AgentUnreachable, ApiRefused."""
    if not (home / "node.json").exists():
        raise NotSetUp(f"{home} is no node's folder", "name it with --home, or make it with `seci-node init`")
    try:
        address = json.loads((home / "api.json").read_text())["url"]
        token = (home / "api.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx2.request(method, f"{address}{path}", headers=headers, timeout=30, **options)
    except (OSError, ValueError, KeyError, httpx2.HTTPError) as error:
        raise AgentUnreachable(
            f"no agent answers for {home}: {type(error).__name__}", f"start it: seci-node run --home {home}"
        ) from error
    if answer.status_code >= 400:
        raise ApiRefused(_json(answer))
    return answer.json()


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": f"HTTP {answer.status_code}", "code": "http_error"}
