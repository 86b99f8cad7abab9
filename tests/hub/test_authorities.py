"""The steps by which one authority takes another's place, each killed at every change of a file and taken again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto.authorities import successors
from crypto.certificates import host_names, issuer_of, read_authorities, read_certificate
from crypto.keyfile import Secret, SecretSource, load_tls_key
from hub import authorities
from hub.authorities import Stage, issuing, known
from hub.setup import BrokerNames, broker_follows, make_keys, users_follow
from hub.topology import HUB_USERS

NAMES = (*HUB_USERS, "broker")


def _roll(home: Path, secret: Secret) -> None:
    authorities.prepare(home, secret)
    authorities.trust_both(home)


def _switch(home: Path, secret: Secret) -> None:
    authorities.let_newest_issue(home)
    users_follow(home, secret)


def _finish(home: Path, secret: Secret) -> None:
    broker_follows(home, secret)
    authorities.trust_newest(home)


STEPS: dict[Stage, Callable[[Path, Secret], None]] = {
    Stage.ROLLED: _roll,
    Stage.SWITCHED: _switch,
    Stage.SETTLED: _finish,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hub's folder with its keys."""
    make_keys(tmp_path / "hub", BrokerNames(("localhost",), ("127.0.0.1",)))
    return tmp_path / "hub"


class _Killed(BaseException):
    """As if the process ended here."""


class _Mortal:
    """Counts changes of names in a folder, and ends the process at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = 0
        for name in ("rename", "replace", "unlink"):
            patch.setattr(Path, name, self._counted(getattr(Path, name)))

    def _counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            if self.left == 0:
                raise _Killed
            self.left -= 1
            return change(*arguments, **named)

        return counted

    def survives(self, changes: int, step: Callable[[], None]) -> bool:
        """Whether the step is done with so many changes."""
        self.left = changes
        try:
            step()
        except _Killed:
            return False
        finally:
            self.left = -1
        return True


def _check(home: Path, secret: Secret, stage: Stage) -> None:
    now = known(home)
    assert now.stage is stage
    issues = issuing(home, secret).certificate
    assert issues == now.authorities[0]
    for name in NAMES:
        certificate = read_certificate((home / f"{name}.pem").read_bytes())
        # The broker's is the last: who was away trusts the old one only.
        assert (issuer_of(certificate, [issues]) is None) == (name == "broker" and stage is Stage.SWITCHED)
        assert certificate.public_key() == load_tls_key(home / f"{name}.key", secret).public_key()
    assert host_names(read_certificate((home / "broker.pem").read_bytes())) == (("localhost",), ("127.0.0.1",))
    chain = read_authorities((home / "ca.pem").read_bytes())
    assert len(chain) == (1 if stage is Stage.SETTLED else 2)


def test_each_step_killed_anywhere_goes_on_when_it_is_taken_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = SecretSource().read(home)
    first, broker_key = known(home).authorities[0], (home / "broker.key").read_bytes()
    mortal = _Mortal(monkeypatch)
    mortal.left = -1
    for stage, step in STEPS.items():
        before = tmp_path / f"before-{stage}"
        shutil.copytree(home, before)
        for changes in range(30):
            shutil.rmtree(home)
            shutil.copytree(before, home)
            done = mortal.survives(changes, lambda step=step: step(home, secret))  # type: ignore[misc]
            step(home, secret)
            _check(home, secret, stage)
            if done:
                break
        assert done and changes > 0
    # The broker's key is the one that RabbitMQ has the password of; the old authority's is gone.
    assert (home / "broker.key").read_bytes() == broker_key
    assert known(home).authorities[0] != first
    assert not list(home.glob("ca.next.*")) and not list(home.glob("ca.cross.*"))


def test_a_node_follows_from_stage_to_stage_and_the_next_time(home: Path) -> None:
    secret = SecretSource().read(home)
    held = away = list(known(home).authorities)
    for _ in range(2):
        for step in (_roll, _switch):
            step(home, secret)
            held = successors(held, known(home).news())
            assert tuple(held) == known(home).authorities
        # One that was away is told but once.
        away = successors(away, known(home).news())
        assert away == held
        _finish(home, secret)
        held = away = successors(held, known(home).news())
    assert tuple(held) == known(home).authorities
