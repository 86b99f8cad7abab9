"""The hub's welcome: taken in if all of it holds, else refused before anything of it is written."""

import base64
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from crypto.cosignature import Cosigner
from crypto.enrolment import verify_request
from crypto.hsm import Token
from crypto.keyfile import SecretSource, load_node_keys
from crypto.keys import VerifyKey
from crypto.mldsa import MlDsaKey
from crypto.note import NoteSigner
from crypto.trust import sign_roster
from nodes import histories, rosters, setup
from nodes.errors import KeysElsewhere, WelcomeRefused
from nodes.receiving import Arrival
from nodes.serving import open_agent
from nodes.settings import Settings
from nodes.store import Store
from schemas.control import MessageType
from schemas.roster import KeyUse, RosterKey, RosterNews
from tests.crypto.people import BG, HUB, NOW, RO, person, roster_key
from tests.nodes.conftest import FAR, ORIGIN, roster
from tests.nodes.twofaced import SECOND, Log, announced, in_force
from tests.nodes.welcomes import CA_PEM, LEDGER, VKEY, issued, signed_for, welcome


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Romania's folder after the first step."""
    setup.create(tmp_path / "ro", "ro")
    return tmp_path / "ro"


def test_nobody_is_let_believe_that_keys_which_are_there_were_put_elsewhere(home: Path) -> None:
    passphrase = home.parent / "passphrase"
    passphrase.write_text("several words\n")
    with pytest.raises(KeysElsewhere, match="open with another secret"):
        setup.create(home, "ro", SecretSource(passphrase_file=passphrase))
    with pytest.raises(KeysElsewhere, match="not in the token"):
        setup.create(home, "ro", None, Token(Path("library.so"), "seci", "1234"))
    # The place that they are in may be said again.
    setup.create(home, "ro", SecretSource(key_file=home / "secret.key"))


@pytest.mark.parametrize("ca_pem", [CA_PEM, CA_PEM + CA_PEM])
async def test_a_welcome_that_holds_is_taken_in(home: Path, ca_pem: str) -> None:
    settings = await setup.welcome(home, welcome(home, ca_pem=ca_pem))
    assert settings.enrolled
    assert settings == Settings.load(home)


@pytest.mark.parametrize(
    "changes",
    [
        {"ca_pem": ""},
        {"ca_pem": "PEM"},
        {"ca_pem": CA_PEM[:-60]},
        {"ca_pem": CA_PEM.replace("MII", "MIJ", 1)},
        {"ca_pem": CA_PEM + CA_PEM.replace("MII", "MIJ", 1)},
        {"ca_pem": "not an authority"},
        {"log_vkey": ""},
        {"log_vkey": ORIGIN},
        {"log_vkey": VKEY[:-4]},
        {"log_vkey": VKEY.replace("+", "+0", 1)},
        {"log_vkey": VKEY.replace(ORIGIN, "another")},
        {"log_vkey": VKEY + "\N{EURO SIGN}"},
    ],
)
async def test_a_welcome_with_a_broken_authority_or_log_key_is_refused(home: Path, changes: dict[str, str]) -> None:
    if changes.get("ca_pem") == "not an authority":
        changes = {"ca_pem": issued(home)}
    before = (home / "node.json").read_bytes()
    with pytest.raises(WelcomeRefused) as refused:
        await setup.welcome(home, welcome(home, **changes))
    assert refused.value.next_step
    assert (home / "node.json").read_bytes() == before
    assert not (home / "ca.pem").exists()


async def _stored(home: Path) -> tuple[int | None, tuple[int, ...], histories.Followed | None]:
    """The version in force, those that wait, and what is followed."""
    keys = load_node_keys(home / "node.key", Settings.load(home).secret())
    box = Store.open(home / "node.db", keys.storage)
    try:
        version, waiting = await box.run(rosters.in_force), await box.run(rosters.waiting)
        return version, waiting, await box.run(histories.last, ORIGIN)
    finally:
        box.close()


def _news(signed: bytes, log: Log) -> str:
    return base64.b64encode(log.published(signed).news(signed)).decode()


async def test_from_the_welcome_on_its_roster_is_in_force_and_its_history_followed(home: Path) -> None:
    await setup.welcome(home, welcome(home))
    version, waiting, followed = await _stored(home)
    assert (version, waiting) == (1, ())
    assert followed is not None
    log = LEDGER.published(signed_for(home))
    assert (followed.checkpoint, followed.line) == (log.checkpoint, "")
    # The same again changes nothing. A newer one waits for its link like any other, and nothing else is followed.
    await setup.welcome(home, welcome(home))
    newer = signed_for(home, 2)
    await setup.welcome(home, welcome(home, roster=_news(newer, log.grow(20))))
    assert await _stored(home) == (1, (2,), followed)
    await setup.welcome(home, welcome(home))
    agent = await open_agent(Settings.load(home))
    try:
        assert agent.trust.roster.version == 1
        # What it signs says by which roster it goes.
        assert agent.trust.digest == sha256(signed_for(home)).digest()
        question = await agent.box.run(agent.witness._question)
        assert (question.old, question.claims, question.roster) == (log.checkpoint.size, (21,), 2)
        answer = log.grow(20).published(newer).grow(30).answer(question.old, claims=question.claims)
        await agent.box.run(agent.take_in, [Arrival(MessageType.CHECKPOINT, answer, 1)])
        assert (agent.trust.roster.version, agent.trust.digest) == (2, sha256(newer).digest())
    finally:
        agent.box.close()


async def _refused(home: Path, **changes: str) -> str:
    with pytest.raises(WelcomeRefused) as refused:
        await setup.welcome(home, welcome(home, **changes))
    assert not Settings.load(home).enrolled
    assert not (home / "tls.pem").exists()
    return f"{refused.value}; {refused.value.next_step}"


async def test_a_welcome_whose_roster_is_not_proven_or_has_other_keys_is_refused(home: Path) -> None:
    signed = signed_for(home)
    assert "control_malformed" in await _refused(home, roster=base64.b64encode(signed).decode())
    news = RosterNews.from_bytes(LEDGER.published(signed).news(signed))
    other = news.model_copy(update={"receipt": LEDGER.published(signed).receipt(0)})
    assert "roster_unlogged" in await _refused(home, roster=base64.b64encode(other.to_bytes()).decode())
    elsewhere = news.model_copy(update={"checkpoint": LEDGER.grow(4).note})
    assert "proof_invalid" in await _refused(home, roster=base64.b64encode(elsewhere.to_bytes()).decode())
    assert "hub_key_changed" in await _refused(home, log_vkey=NoteSigner(ORIGIN, RO.signing).verifier.vkey())
    foreign = signed_for(home, 1, roster_key(person("xx").encryption, end=FAR))
    said = await _refused(home, roster=_news(foreign, LEDGER))
    assert "roster_key_foreign" in said and "keys were swapped" in said
    (home / "node.key").unlink()
    setup.create(home, "ro")
    said = await _refused(home, roster=_news(signed, LEDGER))
    assert "roster_key_foreign" in said and "keys were swapped" in said
    absent = sign_roster(roster(1, BG), HUB.signing)
    said = await _refused(home, roster=_news(absent, LEDGER))
    assert "key_unknown" in said and "keys were swapped" in said


async def _alarm(home: Path) -> histories.Alarm | None:
    keys = load_node_keys(home / "node.key", Settings.load(home).secret())
    box = Store.open(home / "node.db", keys.storage)
    try:
        return await box.run(histories.undecided)
    finally:
        box.close()


async def test_a_later_welcome_that_shows_what_the_hub_did_is_an_alarm(home: Path) -> None:
    await setup.welcome(home, welcome(home))
    log = LEDGER.published(signed_for(home))
    by_another = sign_roster(roster(2, BG, RO), RO.signing)
    with pytest.raises(WelcomeRefused, match="hub_key_changed"):
        await setup.welcome(home, welcome(home, roster=_news(by_another, log)))
    # Whoever wrote that, it need not be the hub.
    assert await _alarm(home) is None
    evil = signed_for(home, 2, roster_key(person("xx").encryption, end=FAR))
    for _ in range(2):
        with pytest.raises(WelcomeRefused, match="roster_key_foreign"):
            await setup.welcome(home, welcome(home, roster=_news(evil, log)))
    alarm = await _alarm(home)
    assert alarm is not None
    assert (alarm.number, alarm.code) == (1, histories.KEY_FOREIGN)
    assert (await _stored(home))[:2] == (1, ())
    agent = await open_agent(Settings.load(home))
    agent.box.close()
    assert agent.witness.caught


async def test_a_first_welcome_that_is_refused_leaves_no_alarm(home: Path) -> None:
    foreign = signed_for(home, 1, roster_key(person("xx").encryption, end=FAR))
    await _refused(home, roster=_news(foreign, LEDGER))
    assert await _alarm(home) is None
    await setup.welcome(home, welcome(home))


@pytest.mark.parametrize("key", ["hub_key", "log_vkey"])
async def test_a_later_welcome_with_another_key_of_the_hub_is_refused(home: Path, key: str) -> None:
    await setup.welcome(home, welcome(home))
    theirs = base64.b64encode(RO.signing.public.public_bytes()).decode()
    changes = {"hub_key": theirs, "log_vkey": NoteSigner(ORIGIN, RO.signing).verifier.vkey()}
    with pytest.raises(WelcomeRefused, match="another hub key"):
        await setup.welcome(home, welcome(home, **{key: changes[key]}))


async def test_the_hub_s_second_key_is_taken_from_a_welcome_and_kept(home: Path) -> None:
    vkey = SECOND.verifier.vkey()
    assert (await setup.welcome(home, welcome(home))).log_second() is None
    # From a hub that has one by now, the same node's next welcome.
    settings = await setup.welcome(home, welcome(home, log_vkey_mldsa=vkey))
    assert settings == Settings.load(home)
    assert settings.log_second() == SECOND.verifier
    agent = await open_agent(settings)
    assert agent.witness.second == SECOND.verifier
    agent.box.close()
    # A hub that has lost it takes nothing away, and one that shows another key is asked about it.
    assert (await setup.welcome(home, welcome(home))).log_vkey_mldsa == vkey
    other = Cosigner(ORIGIN, MlDsaKey.generate()).verifier.vkey()
    with pytest.raises(WelcomeRefused, match="another second key"):
        await setup.welcome(home, welcome(home, log_vkey_mldsa=other))
    assert Settings.load(home).log_vkey_mldsa == vkey
    # One that is no key at all was not replaced by anybody.
    with pytest.raises(WelcomeRefused, match="is no ML-DSA-44 key") as refused:
        await setup.welcome(home, welcome(home, log_vkey_mldsa="nonsense"))
    assert refused.value.next_step == "ask the hub's operators for it again"


@pytest.mark.parametrize(
    "vkey",
    [
        VKEY,
        "",
        Cosigner("another", SECOND.key).verifier.vkey(),
        Cosigner(ORIGIN, RO.signing).verifier.vkey(),
        SECOND.verifier.vkey()[:-8],
    ],
    ids=["the first key", "nothing", "of another log", "a witness's", "cut short"],
)
async def test_a_second_key_that_is_none_of_the_ledger_is_refused(home: Path, vkey: str) -> None:
    await _refused(home, log_vkey_mldsa=vkey)


async def test_a_witness_key_made_anew_is_known_as_the_node_s_own(home: Path) -> None:
    settings = await setup.welcome(home, welcome(home))
    (home / "witness.key").unlink()
    setup.create(home, "ro")
    await setup.remember_keys(settings)
    mine = _witnessing(setup.witness_key(settings).public)
    await setup.welcome(
        home, welcome(home, roster=_news(signed_for(home, 2, mine), LEDGER.published(signed_for(home))))
    )
    assert (await _stored(home))[:2] == (1, (2,))


def _witnessing(public: VerifyKey) -> RosterKey:
    return RosterKey(kid=public.key_id, use=KeyUse.WITNESS, public=public.public_bytes(), not_before=NOW, not_after=FAR)


async def test_a_witness_key_lost_before_own_keys_were_remembered_is_replaced_without_an_alarm(home: Path) -> None:
    settings = Settings.load(home)
    old = _witnessing(setup.witness_key(settings).public)
    first = signed_for(home, 1, old)
    settings = await setup.welcome(home, welcome(home, roster=_news(first, LEDGER)))
    (home / "witness.key").unlink()
    with closing(sqlite3.connect(home / "node.db")) as database:
        # As a store of version 5 is after its migration.
        database.execute("DELETE FROM own_key")
        database.commit()
    agent = await open_agent(settings)
    try:
        new = _witnessing(setup.witness_key(settings).public)
        log = LEDGER.published(first)
        for version, key in ((2, old), (3, new)):
            log = await in_force(agent, signed_for(home, version, key), log=log)
            assert agent.trust.roster.version == version
        # It was known as a witness key, and is no key to sign with.
        signing = old.model_copy(update={"use": KeyUse.SIGN})
        await announced(agent, signed_for(home, 4, signing), log=log)
        alarm = await agent.box.run(histories.undecided)
        assert alarm is not None
        assert alarm.code == histories.KEY_FOREIGN
    finally:
        agent.box.close()


async def test_a_node_without_a_witness_key_gets_one_and_a_request_that_names_it(home: Path) -> None:
    settings, before = Settings.load(home), setup.read_request(home)
    (home / "witness.key").unlink()
    made = setup.witness_key(settings)
    asked = setup.read_request(home)
    verify_request(asked)
    assert asked.witness_key == base64.b64encode(made.public.public_bytes()).decode() != before.witness_key
    assert (asked.signing_key, asked.encryption_key) == (before.signing_key, before.encryption_key)
    assert asked.fingerprint() == before.fingerprint()
    assert setup.witness_key(settings).public == made.public
    assert setup.create(home, "ro") == settings
    assert setup.read_request(home).witness_key == asked.witness_key
