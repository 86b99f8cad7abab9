"""Security officers in the demo: each with an account and a session, and what is dangerous done by two."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyotp

from deploy.local.errors import CommandFailed, LocalError
from deploy.local.exchange import Exchange

RULE: Final = "iom-victims"
_CHANGE: Final = (
    *("policy", "add", RULE, "--effect", "allow", "--from", "member", "--to", "iom", "--task-force", "trafficking"),
    *("--kind", "trafficking.victim_*", "--words", "victims are referred to IOM", "--reason", "JCC 19"),
)


class Officers:
    """Types at the hub under names of their own. Passwords and sessions are in a folder beside the hub's."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._folder = exchange, exchange.folder / "officers"
        self._folder.mkdir(mode=0o700)

    def add(self, name: str, by: str) -> None:
        """Makes the account, and logs in: with the password and what the authenticator shows."""
        password = self._folder / f"{name}.password"
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24))
        role = ("--role", "security-officer", "--new-password-file", str(password))
        totp = pyotp.parse_uri(self.type(by, "operator", "add", name, *role)["totp"])
        self.type(name, "login", name, "--password-file", str(password), "--code", pyotp.TOTP(totp.secret).now())

    def type(self, name: str, *arguments: str) -> Any:
        """As `Exchange.hub`, in that officer's session."""
        return self._exchange.hub(*arguments, environment={"SECI_HUB_SESSION": str(self._session(name))})

    def act_together(self, one: str, other: str) -> Iterator[str]:
        """One asks, cannot confirm that, and does it once the other has. What is told goes on with what is done."""
        asked = self.type(one, *_CHANGE)
        if asked.get("code") != "approval_waiting":
            raise LocalError(f"{one} changed a rule alone: {asked}")
        number = asked["errors"][0]["found"]
        yield f"asked     approval {number}: {one} adds the rule {RULE}; nothing is done yet"
        try:
            raise LocalError(f"{one} confirmed what {one} asked for: {self._confirm(one, number)}")
        except CommandFailed as error:
            if "own_approval" not in str(error):
                raise
        yield f"refused   own_approval: {one} would confirm it too"
        self._confirm(other, number)
        yield f"confirmed by {other}"
        done = self.type(one, *_CHANGE)
        yield f"done      by {one}: {done['change']}, roster version {done['roster']}"
        acts = self.type(other, "ledger", "search", "--event", "operator", "--limit", "3")["entries"]
        # The newest is that somebody looked; behind `rule=` all of the rule is repeated.
        for act in reversed(acts[1:]):
            yield f"ledger    entry {act['index']}: {act['detail'].partition(' rule={')[0]}"

    def in_force(self, node: str, seconds: float) -> bool:
        """Whether a node goes by the rule, at last."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if any(rule["id"] == RULE for rule in self._exchange.node(node, "roster")["policy"]["rules"]):
                return True
            time.sleep(0.2)
        return False

    def _confirm(self, name: str, number: str) -> Any:
        return self.type(name, "approvals", "confirm", number, "--yes")

    def _session(self, name: str) -> Path:
        return self._folder / f"{name}.session"
