"""Renewal in an agent's folder: what opens the keys may change meanwhile, and none of it holds the agent up."""

import asyncio
import base64
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crypto import certificates
from crypto.certificates import Profile
from crypto.errors import CertificateRefused, CryptoError
from crypto.keyfile import Secret, generate_key_file, load_tls_key
from crypto.trust import Trust
from nodes import renewal, renewing, setup
from nodes.agent import Agent
from nodes.cli import app
from nodes.errors import KeysBusy
from nodes.locked import keys_alone
from nodes.serving import open_agent
from nodes.settings import Settings
from schemas.renewal import RenewalAnswer
from schemas.roster import KeyUse, Roster, RosterKey
from tests.crypto.people import BG, NOW, roster_key, roster_node
from tests.nodes.conftest import FAR, entry
from tests.nodes.welcomes import CA, CA_KEY, welcome

ALL = frozenset(renewal.WHAT)
TYPED = CliRunner()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Romania's folder, enrolled; its keys open with a key file."""
    home = tmp_path / "ro"
    setup.create(home, "ro")
    asyncio.run(setup.welcome(home, welcome(home)))
    return home


@asynccontextmanager
async def _opened(home: Path) -> AsyncIterator[Agent]:
    agent = await open_agent(Settings.load(home))
    try:
        yield agent
    finally:
        agent.box.close()


def _resealed(home: Path) -> None:
    new = home.parent / "new.key"
    assert TYPED.invoke(app, ["reseal", "--home", str(home), "--key-file", str(new)]).exit_code == 0
    (home / "secret.key").unlink()


def _certificate(held: renewal.Held) -> RenewalAnswer:
    assert held.pending.csr_pem is not None
    csr = certificates.read_csr(held.pending.csr_pem.encode())
    issued = certificates.issue(csr, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=300)
    return RenewalAnswer(request=hashlib.sha256().digest(), certificate_pem=certificates.to_pem(issued).decode())


def _listing(trust: Trust, held: renewal.Held) -> Trust:
    # The roster that the hub makes of what it is asked.
    keys = held.pending.keys
    assert keys is not None and held.pending.witness is not None
    old: tuple[RosterKey, ...] = trust.nodes["ro"].keys
    new = (roster_key(keys.signing, end=FAR), roster_key(keys.encryption[0], end=FAR))
    witness = roster_key(held.pending.witness, end=FAR).model_copy(update={"use": KeyUse.WITNESS})
    return Trust.of(Roster(version=2, at=NOW, nodes=(entry(BG), roster_node("ro", *old, *new, witness))))


async def test_a_node_starts_whose_keys_were_sealed_anew_before_it_renewed_them(home: Path) -> None:
    async with _opened(home) as agent:
        _resealed(home)
        agent.renewing.want(ALL)
        held = await agent.renewing._look()
        # Between two steps, too.
        assert set(agent.renewing.pending()) == ALL
        renewal.take_answer(agent.settings, _certificate(held))
        agent.trust = _listing(agent.trust, held)
        held = await agent.renewing._look()
        assert held.settled and held.pending.nothing and agent.renewing.pending() == []
        public = agent.keys.signing.public
        assert public == held.keys.signing.public
        # What the operators are sent from now on is of the new keys.
        told = setup.read_request(home)
        assert base64.b64decode(told.signing_key) == public.public_bytes()
        csr = certificates.read_csr(told.csr_pem.encode())
        assert csr.public_key() == certificates.read_certificate((home / "tls.pem").read_bytes()).public_key()
    async with _opened(home) as again:
        assert again.keys.signing.public == public


async def test_keys_are_not_made_with_a_secret_that_does_not_open_the_old_ones(home: Path) -> None:
    async with _opened(home) as agent:
        # As when the file of a passphrase is written over by hand.
        (home / "secret.key").unlink()
        generate_key_file(home / "secret.key")
        agent.renewing.want(["tls", "witness"])
        with pytest.raises(CryptoError):
            await agent.renewing._look()
    assert not any(file.exists() for file in (renewal.Files(home).tls, renewal.Files(home).witness))


def test_no_secret_is_changed_while_keys_are_written(home: Path) -> None:
    words = ["reseal", "--home", str(home), "--key-file", str(home.parent / "new.key")]
    with keys_alone(home, wait=False):
        assert isinstance(TYPED.invoke(app, words).exception, KeysBusy)
    assert TYPED.invoke(app, words).exit_code == 0


def test_a_secret_is_not_changed_for_itself(home: Path) -> None:
    # Whoever then destroys "the old secret", as the answer says, has none left.
    (home.parent / "there").symlink_to(home)
    for named in (home / "secret.key", home.parent / "there" / "secret.key"):
        done = TYPED.invoke(app, ["reseal", "--home", str(home), "--key-file", str(named)])
        assert done.exit_code != 0 and "another place" in str(done.exception)


async def test_a_certificate_that_the_broker_would_not_take_replaces_none(home: Path) -> None:
    before = (home / "tls.pem").read_bytes()
    async with _opened(home) as agent:
        agent.renewing.want(["tls"])
        held = await agent.renewing._look()
        csr = certificates.read_csr((held.pending.csr_pem or "").encode())
        ended = certificates.issue(csr, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=0)
        # The same key, but a name of another.
        other = certificates.create_csr("node-bg", load_tls_key(home / "tls.next.key", agent.settings.secret()))
        foreign = certificates.issue(other, CA, CA_KEY, Profile.CLIENT, common_name="node-bg", days=300)
        for wrong in (ended, foreign):
            with pytest.raises(CertificateRefused):
                pem = certificates.to_pem(wrong).decode()
                renewal.take_answer(agent.settings, RenewalAnswer(request=bytes(32), certificate_pem=pem))
        await agent.renewing._look()
        assert agent.renewing.pending() == ["tls"]
    assert (home / "tls.pem").read_bytes() == before


@contextmanager
def _counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    found: list[int] = []
    derive = Secret.derive

    def counting(self: Secret, kdf: dict[str, Any]) -> bytes:
        found.append(threading.get_ident())
        return derive(self, kdf)

    with monkeypatch.context() as counted:
        counted.setattr(Secret, "derive", counting)
        yield found


async def test_keys_are_opened_beside_the_event_loop_and_not_each_second(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a passphrase each costs a third of a second, and a hub may be away for days.
    monkeypatch.setattr(renewing, "TICK_S", 0.01)
    async with _opened(home) as agent:
        with _counted(monkeypatch) as opened:
            agent.renewing.want(ALL)
            running = asyncio.create_task(agent.renewing.run())
            async with asyncio.timeout(60):
                while set(agent.renewing.pending()) != ALL:  # noqa: ASYNC110 as the command polls
                    await asyncio.sleep(0.01)
            known = len(opened)
            await asyncio.sleep(0.3)
            assert set(agent.renewing.pending()) == ALL
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert len(opened) == known
        assert threading.get_ident() not in opened


async def test_what_ends_soon_although_it_is_new_is_not_renewed_again_at_once(home: Path) -> None:
    # The certificate of `welcome` is good for a day, as is all that a CA issues on its last.
    async with _opened(home) as agent:
        held = await agent.renewing._look()
        assert agent.renewing.pending() == ["tls"]
        csr = certificates.read_csr((held.pending.csr_pem or "").encode())
        last = certificates.issue(csr, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)
        pem = certificates.to_pem(last).decode()
        renewal.take_answer(agent.settings, RenewalAnswer(request=bytes(32), certificate_pem=pem))
        for _ in range(3):
            held = await agent.renewing._look()
        assert held.pending.nothing
