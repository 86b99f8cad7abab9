"""An enrolment from the invitation to the welcome, on a real database: how it is refused, and where it dies."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import joining as proofs
from crypto.certificates import common_name, read_certificate, read_crl
from crypto.errors import KeyRevoked
from crypto.trust import Trust
from hub import accounts, admission, authorities, database, joining, registrar, standing, tables, topology
from hub.admission import Office
from hub.errors import (
    BrokerUnreachable,
    EnrolmentOpen,
    EnrolmentRefused,
    EnrolmentUnknown,
    InvitationOutdated,
    KeyUnproven,
    OperatorsTampered,
    SameOperator,
    TokenExpired,
    TokenOfAnother,
    TokenRefused,
    TokenUsed,
    WordsDiffer,
)
from hub.pen import writing
from hub.quarantine import Decision
from hub.standing import Act
from schemas.control import Event
from schemas.enrolment import Welcome
from schemas.joining import JoinAnswer, JoinToken, Stage
from schemas.roster import Cause, KeyUse, Roster
from tests.hub.applicants import Applicant, asked, confirmed, decided, invited, listed, office_of, roster_of, stages
from tests.hub.ownhub import OwnHub
from tests.hub.test_operator_commands import People

pytestmark = pytest.mark.system


@pytest.fixture
async def office(own: OwnHub, own_engine: AsyncEngine) -> AsyncIterator[Office]:
    """Of a hub without nodes. Its `rabbitmqctl` is `true`; a real one is in tests/system/test_joining.py."""
    return office_of(own, own_engine)


async def _rosters(office: Office) -> int:
    async with office.engine.connect() as connection:
        rosters = select(func.count()).where(tables.ledger_content.c.event == "roster")
        return int(await connection.scalar(rosters) or 0)


def _opened(who: Applicant, token: JoinToken, sealed: str | None) -> Welcome:
    assert sealed is not None
    return Welcome.model_validate_json(proofs.open_welcome(who.asks(token), sealed, who.encryption))


async def test_from_the_invitation_to_the_welcome(office: Office) -> None:
    ro, token = Applicant.new("ro"), await invited(office, "ro")
    async with office.engine.connect() as connection:
        [row] = (await connection.execute(select(tables.enrolment))).all()
    # What the database holds makes no token.
    assert token.secret not in b"".join(value for value in row if isinstance(value, bytes))
    found = await asked(office, ro, token)
    assert tuple((found.words or "").split()) == proofs.join_words(ro.asks(token))
    with pytest.raises(WordsDiffer):
        await decided(office, joining.approve, "ro", "zoo " * 12, "ana", four_eyes=True)
    with pytest.raises(EnrolmentUnknown):
        await decided(office, joining.confirm, "ro", "dan")
    short = " ".join(word[:4] for word in proofs.join_words(ro.asks(token)))
    await decided(office, joining.approve, "ro", short, "ana", four_eyes=True)
    with pytest.raises(SameOperator):
        await decided(office, joining.confirm, "ro", "ana")
    assert await listed(office, "ro") is None
    await decided(office, joining.confirm, "ro", "dan")
    done = await admission.carry_on(office, token.id)
    assert (done.stage, done.roster_version, done.approved_by, done.confirmed_by) == (Stage.IN_ROSTER, 1, "ana", "dan")
    node = await listed(office, "ro")
    assert node is not None and {key.public for key in node.keys} == ro.public
    assert node.task_forces == ("drugs",)
    # As often as the node asks, the same.
    for _ in range(2):
        answer = await admission.answer(office, await admission.receive(office, ro.asks(token), by_file=False))
        assert answer.stage is Stage.WELCOMED
        told = _opened(ro, token, answer.sealed)
        assert (told.node, told.certificate_pem) == ("ro", done.certificate)
        assert proofs.pin_of(proofs.identity_in(told)) == token.pin
    assert await _rosters(office) == 1


async def test_a_token_is_good_once_in_time_for_its_node_and_its_hub(office: Office) -> None:
    ro, bg = Applicant.new("ro"), Applicant.new("bg")
    token = await invited(office, "ro")
    with pytest.raises(EnrolmentOpen):
        await invited(office, "ro")

    async def refused(error: type[Exception], who: Applicant, with_: JoinToken) -> None:
        with pytest.raises(error):
            await admission.receive(office, who.asks(with_), by_file=False)

    # Which part of a token is wrong is not told: there is none with this id, or none with this secret.
    await refused(TokenRefused, ro, JoinToken("ro", bytes(4), token.secret, token.pin))
    await refused(TokenRefused, ro, JoinToken("ro", token.id, bytes(17), token.pin))
    await refused(TokenRefused, bg, JoinToken("bg", token.id, token.secret, token.pin))
    await refused(TokenOfAnother, bg, token)
    await refused(InvitationOutdated, ro, JoinToken("ro", token.id, token.secret, bytes(16)))
    # Nothing of that has used it up.
    found = await admission.receive(office, ro.asks(token), by_file=False)
    assert found.stage is Stage.REQUESTED
    assert (await admission.receive(office, found.asked, by_file=False)).since == found.since
    await refused(TokenUsed, Applicant.new("ro"), token)
    with pytest.raises(KeyUnproven):
        await decided(office, joining.approve, "ro", found.words or "", "ana", four_eyes=True)
    wrong = ro.asks(token).model_copy(update={"opened": "A" * 43 + "="})
    with pytest.raises(EnrolmentRefused, match="challenge"):
        await admission.receive(office, wrong, by_file=False)
    await decided(office, joining.reject, "ro", "nobody answers the telephone")
    answer = await admission.answer(office, await admission.receive(office, ro.asks(token), by_file=False))
    assert (answer.stage, answer.reason) == (Stage.REJECTED, "nobody answers the telephone")
    late = await invited(office, "ro", lasts_ms=0)
    await refused(TokenExpired, ro, late)
    taken_back = await invited(office, "ro")
    async with office.engine.begin() as connection:
        await joining.withdraw(connection, "ro", "ana")
    await refused(TokenExpired, ro, taken_back)


async def test_keys_of_somebody_in_the_roster_are_nobody_else_s(office: Office) -> None:
    ro = Applicant.new("ro")
    await confirmed(office, ro, token := await invited(office, "ro"))
    await admission.carry_on(office, token.id)
    with pytest.raises(EnrolmentRefused, match="already"):
        await invited(office, "ro")
    with pytest.raises(EnrolmentRefused, match="not in the roster"):
        await invited(office, "hu", replace_keys=True)
    token = await invited(office, "bg")
    thief = Applicant("bg", Applicant.new("bg").signing, ro.encryption, Applicant.new("bg").csr, ro.witness)
    for who in (
        Applicant(
            "bg", ro.signing, Applicant.new("bg").encryption, Applicant.new("bg").csr, Applicant.new("bg").witness
        ),
        thief,
        Applicant("bg", thief.signing, Applicant.new("bg").encryption, ro.csr, Applicant.new("bg").witness),
    ):
        with pytest.raises(EnrolmentRefused):
            await admission.receive(office, who.asks(token), by_file=False)
    assert (await admission.receive(office, Applicant.new("bg").asks(token), by_file=False)).stage is Stage.REQUESTED


class _Killed(BaseException):
    """As if the process had died: nothing handles it."""


# What a process does after a confirmation, in its order: where it dies, before or after it.
_STEPS = (
    (admission, "certify"),
    (topology, "apply"),
    (admission, "_enter"),
    (registrar, "publish_roster"),
    (admission, "change"),
)


@pytest.mark.parametrize("after", [False, True])
async def test_wherever_it_dies_it_goes_on_and_does_nothing_twice(
    office: Office, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    for version, (node, (module, name)) in enumerate(zip(("ro", "bg", "hu", "gr", "tr"), _STEPS, strict=True), 1):
        who, token = Applicant.new(node), await invited(office, node)
        await confirmed(office, who, token)
        # Each time it comes one step further.
        for call in (1, 2, 2) if name == "change" else (1,):
            with monkeypatch.context() as patched:
                _dies(patched, module, name, call, after)
                with pytest.raises(_Killed):
                    await admission.carry_on(office, token.id)
        kept = (await _row(office, token)).certificate
        [done] = await admission.carry_all_on(office) or [await _row(office, token)]
        assert (done.node, done.stage) == (node, Stage.IN_ROSTER)
        assert kept in (done.certificate, None)
        assert (done.roster_version, (await roster_of(office)).version) == (version, version)
        assert await _rosters(office) == version
        answer = await admission.answer(office, await _row(office, token))
        assert _opened(who, token, answer.sealed).certificate_pem == done.certificate
    assert await admission.carry_all_on(office) == []


def _dies(patched: pytest.MonkeyPatch, module: Any, name: str, call: int, after: bool) -> None:
    original, calls = getattr(module, name), 0

    def due() -> bool:
        nonlocal calls
        calls += 1
        return calls == call

    async def in_loop(*arguments: Any, **options: Any) -> Any:
        come = due()
        if come and not after:
            raise _Killed
        result = await original(*arguments, **options)
        if come:
            raise _Killed
        return result

    def in_thread(*arguments: Any, **options: Any) -> Any:
        come = due()
        if come and not after:
            raise _Killed
        result = original(*arguments, **options)
        if come:
            raise _Killed
        return result

    patched.setattr(module, name, in_thread if name in ("certify", "apply") else in_loop)


async def _row(office: Office, token: JoinToken) -> joining.Enrolment:
    async with office.engine.begin() as connection:
        found = await joining.locked(connection, token.id)
    assert found is not None
    return found


async def test_a_rejected_one_is_taken_back_from_the_broker(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    token = await invited(office, "ro")
    await confirmed(office, Applicant.new("ro"), token)
    with monkeypatch.context() as patched:
        _dies(patched, topology, "apply", 1, after=True)
        with pytest.raises(_Killed):
            await admission.carry_on(office, token.id)
    await decided(office, joining.reject, "ro", "a mistake")
    with monkeypatch.context() as patched:
        patched.setattr(topology, "remove", lambda _ctl, node, _vhost: removed.append(node) or _fail())
        with pytest.raises(BrokerUnreachable):
            await admission.carry_on(office, token.id)
        patched.setattr(topology, "remove", lambda _ctl, node, _vhost: removed.append(node))
        assert stages(await admission.carry_all_on(office)) == [("ro", Stage.REJECTED)]
        assert await admission.carry_all_on(office) == []
        assert removed == ["ro", "ro"]
        # Not while the node is on its way again.
        for death, name in ((True, "apply"), (False, "_enter")):
            await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro"))
            with monkeypatch.context() as dying:
                _dies(dying, topology if name == "apply" else admission, name, 1, after=death)
                with pytest.raises(_Killed):
                    await admission.carry_on(office, token.id)
            if name == "apply":
                await decided(office, joining.reject, "ro", "a mistake")
                first = token
        await admission.carry_on(office, first.id)
        assert removed == ["ro", "ro"]
        await decided(office, joining.reject, "ro", "a mistake")
        await admission.carry_on(office, token.id)
        assert removed == ["ro", "ro", "ro"]
    assert await roster_of(office) == registrar.Unsigned(0, ())
    # Once it is in the roster it is too late.
    token = await invited(office, "ro")
    await confirmed(office, Applicant.new("ro"), token)
    await admission.carry_on(office, token.id)
    with pytest.raises(EnrolmentUnknown, match="no open"):
        await decided(office, joining.reject, "ro", "a mistake")
    # Of one that was to come back with new keys, the user is again who it was.
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro", replace_keys=True))
    with monkeypatch.context() as patched:
        _dies(patched, topology, "apply", 1, after=True)
        with pytest.raises(_Killed):
            await admission.carry_on(office, token.id)
    async with office.engine.connect() as connection:
        assert await accounts.of_nodes(connection) == {"ro": "node-ro-2"}
    await decided(office, joining.reject, "ro", "a mistake")
    users: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(topology, "apply", lambda *arguments: users.append(arguments[-1]))
        assert stages(await admission.carry_all_on(office)) == [("ro", Stage.REJECTED)]
    assert users == [{"ro": "node-ro"}]


def _fail() -> None:
    raise BrokerUnreachable("down", "wait")


async def test_lost_keys_end_and_what_they_signed_stays_verifiable(office: Office) -> None:
    before, after = Applicant.new("ro"), Applicant.new("ro")
    await confirmed(office, before, token := await invited(office, "ro"))
    first = await admission.carry_on(office, token.id)
    signed_at = joining.now_ms()
    token = await invited(office, "ro", replace_keys=True)
    for known in (before, Applicant("ro", after.signing, before.encryption, after.csr, after.witness)):
        with pytest.raises(EnrolmentRefused, match="already"):
            await admission.receive(office, known.asks(token), by_file=False)
    await confirmed(office, after, token)
    second = await admission.carry_on(office, token.id)
    assert second.roster_version == 2
    node = await listed(office, "ro")
    assert node is not None
    assert {key.public for key in node.keys} == before.public | after.public
    assert node.task_forces == ("drugs",)
    roster = await roster_of(office)
    trust = Trust.of(Roster(version=roster.version, at=joining.now_ms(), nodes=roster.nodes))
    now = joining.now_ms()
    # What was on record before; a thief can write any date.
    old = before.signing.public
    assert trust.signing_key("ro", old.key_id, signed_at, lambda _: True) == old
    with pytest.raises(KeyRevoked):
        trust.signing_key("ro", old.key_id, signed_at)
    serials = await _revoked(office)
    assert serials == {read_certificate((first.certificate or "").encode()).serial_number}
    assert [common_name(read_certificate((found.certificate or "").encode())) for found in (first, second)] == [
        "node-ro",
        "node-ro-2",
    ]
    async with office.engine.connect() as connection:
        assert await accounts.of_nodes(connection) == {"ro": "node-ro-2"}
    assert trust.sealing_key("ro", now) == after.encryption.public
    assert trust.witnesses(now)["ro"].encoded.endswith(after.witness.public.public_bytes()[1:])
    ended = {key.use: key.not_after for key in node.keys if key.public in before.public}
    assert set(ended) == set(KeyUse) and all(signed_at <= at <= now for at in ended.values())


async def _revoked(office: Office) -> set[int]:
    crl = (await roster_of(office)).crl
    assert crl is not None
    ca = read_certificate((office.settings.home / "ca.pem").read_bytes())
    return {item.serial_number for item in read_crl(crl, ca)}


async def test_who_was_removed_comes_back_to_task_forces_that_are_named(office: Office) -> None:
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro"))
    await admission.carry_on(office, token.id)
    act = Act(Event.REMOVED, "ro", Decision("ana", "it leaves"), Cause.CESSATION_OF_OPERATION)
    async with writing(office.engine, office.log) as connection:
        authority = authorities.issuing(office.settings.home, office.settings.secret())
        await standing.apply(connection, office.log, authority, act)
    with pytest.raises(EnrolmentRefused, match="all task forces"):
        await invited(office, "ro", task_forces=None, replace_keys=True)
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro", replace_keys=True))
    await admission.carry_on(office, token.id)
    node = await listed(office, "ro")
    assert node is not None and (node.active, node.task_forces) == (True, ("drugs",))


async def test_new_keys_undo_a_revocation_and_no_suspension(office: Office) -> None:
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro"))
    await admission.carry_on(office, token.id)
    for event, cause in ((Event.SUSPENDED, Cause.CERTIFICATE_HOLD), (Event.REVOKED, Cause.KEY_COMPROMISE)):
        async with writing(office.engine, office.log) as connection:
            authority = authorities.issuing(office.settings.home, office.settings.secret())
            await standing.apply(connection, office.log, authority, Act(event, "ro", Decision("ana", "lost"), cause))
        if event is Event.SUSPENDED:
            with pytest.raises(EnrolmentRefused, match="suspended"):
                await invited(office, "ro", replace_keys=True)
    after, token = Applicant.new("ro"), await invited(office, "ro", replace_keys=True)
    await confirmed(office, after, token)
    await admission.carry_on(office, token.id)
    node = await listed(office, "ro")
    assert node is not None and node.active
    assert {key.public for key in node.keys if key.revoked is None} == after.public


async def test_a_row_of_the_database_lets_nobody_in(office: Office) -> None:
    """The hub's own role may write rows of enrolments; that two operators decided is for the ledger to say."""

    async def written(token: JoinToken, **values: object) -> None:
        async with office.engine.begin() as connection:
            this = tables.enrolment.c.invitation == token.id
            await connection.execute(update(tables.enrolment).where(this).values(**values))

    async def found_out(token: JoinToken, words: str) -> None:
        with pytest.raises(OperatorsTampered, match=words):
            await admission.carry_on(office, token.id)

    token = await invited(office, "ro")
    await asked(office, Applicant.new("ro"), token)
    both = {"approved_by": "ana", "confirmed_by": "dan", "certificate": "x"}
    for stage in (Stage.CONFIRMED, Stage.PROVISIONED):
        await written(token, stage=stage, **both)
        await found_out(token, "'ana' approved ro")
    # One of the two has, and who approved once more, as it were.
    await written(token, stage=Stage.REQUESTED)
    row = await _row(office, token)
    await decided(office, joining.approve, "ro", row.words or "", "ana", four_eyes=True)
    await written(token, stage=Stage.CONFIRMED, **both)
    await found_out(token, "'dan' confirmed ro")
    await written(token, confirmed_by="ana")
    await found_out(token, "takes two")
    # Both have, on other terms.
    await written(token, stage=Stage.APPROVED)
    await decided(office, joining.confirm, "ro", "dan")
    await written(token, task_forces=["drugs", "terrorism"])
    await found_out(token, "approved ro so")
    assert (await roster_of(office)).nodes == ()


async def test_who_is_suspended_while_the_broker_is_told_has_no_user_there_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await confirmed(office, Applicant.new("bg"), token := await invited(office, "bg"))
    await admission.carry_on(office, token.id)
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro"))
    told: list[list[str]] = []

    def apply(_ctl: object, _nodes: object, _vhost: str, absent: list[str], _users: object) -> None:
        if not told:
            act = Act(Event.SUSPENDED, "bg", Decision("ana", "a laptop is missing"), Cause.CERTIFICATE_HOLD)
            asyncio.run(_decide(office, act))
        told.append(absent)

    monkeypatch.setattr(topology, "apply", apply)
    await admission.carry_on(office, token.id)
    assert told == [[], ["bg"]]
    # By whatever else the broker is told, too.
    rosters = iter([(["bg", "ro"], []), (["bg", "ro"], ["bg"]), (["bg", "ro"], ["bg"]), (["bg", "ro"], ["bg"])])
    told.append([])
    assert topology.settle((), "siex", lambda: (*next(rosters), {})) == ["bg", "ro"]
    assert told[3:] == [[], ["bg"]]


async def _decide(office: Office, act: Act) -> None:
    engine = database.engine_of(office.settings.database_url)
    authority = authorities.issuing(office.settings.home, office.settings.secret())
    async with writing(engine, office.log) as connection:
        await standing.apply(connection, office.log, authority, act)
    await engine.dispose()


async def test_one_that_is_stuck_holds_up_no_other(office: Office) -> None:
    for node in ("ro", "bg"):
        await confirmed(office, Applicant.new(node), token := await invited(office, node))
        if node == "ro":
            async with office.engine.begin() as connection:
                this = tables.enrolment.c.invitation == token.id
                await connection.execute(update(tables.enrolment).where(this).values(confirmed_by="eve"))
    with pytest.raises(OperatorsTampered):
        await admission.carry_all_on(office)
    assert [node.node for node in (await roster_of(office)).nodes] == ["bg"]


async def test_who_was_revoked_since_does_not_come_back_by_what_was_confirmed_before(office: Office) -> None:
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro"))
    await admission.carry_on(office, token.id)
    await confirmed(office, Applicant.new("ro"), token := await invited(office, "ro", replace_keys=True))
    act = Act(Event.REVOKED, "ro", Decision("ana", "it was not they who telephoned"), Cause.KEY_COMPROMISE)
    async with writing(office.engine, office.log) as connection:
        authority = authorities.issuing(office.settings.home, office.settings.secret())
        await standing.apply(connection, office.log, authority, act)
    with pytest.raises(EnrolmentRefused, match="after its enrolment was confirmed"):
        await admission.carry_on(office, token.id)
    node = await listed(office, "ro")
    assert node is not None and not node.active


async def test_what_is_confirmed_or_rejected_is_what_was_seen(office: Office) -> None:
    await asked(office, Applicant.new("ro"), first := await invited(office, "ro"))
    seen = await _row(office, first)
    await decided(office, joining.reject, "ro", "a mistake")
    await asked(office, Applicant.new("ro"), second := await invited(office, "ro"))
    await decided(office, joining.approve, "ro", (await _row(office, second)).words or "", "ana", four_eyes=True)
    for transition in (joining.confirm, joining.reject):
        with pytest.raises(EnrolmentUnknown, match="another request"):
            async with office.engine.begin() as connection:
                await transition(connection, seen, "dan")


def test_as_operators_type_it(own: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(own, tmp_path, monkeypatch)
    people.officers()

    def type_(*words: str, who: str = "ana") -> tuple[int, Any]:
        return people.type(who, *words)

    ro, file, answer = Applicant.new("ro"), tmp_path / "ro.join.json", tmp_path / "answer.json"
    code, told = type_("invite", "RO", "--agency", "police,customs", "--expires", "3d", "--out", str(tmp_path / "t"))
    assert code == 0 and "token" not in told
    token = JoinToken.parse((tmp_path / "t").read_text())
    assert (tmp_path / "t").stat().st_mode & 0o077 == 0
    assert type_("invite", "ro")[1]["code"] == "enrolment_open"
    assert [item["node"] for item in type_("invitations")[1]["invitations"]] == ["ro"]
    assert type_("requests", "import", str(file))[1]["code"] == "request_unreadable"
    file.write_text(ro.asks(token).model_dump_json(exclude_none=True))
    assert type_("requests", "import", str(file))[1]["stage"] == "requested"
    [waits] = type_("requests")[1]["requests"]
    words = " ".join(proofs.join_words(ro.asks(token)))
    assert (waits["node"], waits["words"], waits["key_proven"]) == ("ro", words, False)
    assert type_("approve", "ro", "--words", "zoo " * 12)[1]["code"] == "words_differ"
    assert type_("approve", "ro", "--words", words)[1]["stage"] == "approved"
    assert type_("confirm", "ro", "--yes")[1]["code"] == "same_operator"
    assert type_("confirm", "ro", who="bob")[1]["code"] == "usage"
    assert type_("confirm", "ro", "--yes", who="bob")[1]["stage"] == "in_roster"
    acts = [line for line in people.acts() if "node=ro" in line]
    assert [line.split()[1] for line in acts] == ["invite", "invite", "enrolment.approve", "enrolment.confirm"]
    assert [line.split(":")[0] for line in acts] == ["ana", "ana", "ana", "bob"]
    assert type_("requests", "export", "ro", "--out", str(answer))[1]["welcome"] is True
    said = JoinAnswer.model_validate_json(answer.read_bytes())
    assert _opened(ro, token, said.sealed).node == "ro"
    assert type_("requests")[1]["requests"] == []
    assert type_("requests", "resume")[1]["requests"] == []
    for options in (("--agency", "navy"), ("--expires", "31d"), ("--expires", "soon"), ("--task-force", "piracy")):
        assert type_("invite", "bg", *options)[1]["code"] == "usage"
    assert type_("invite", "Romania1")[1]["code"] == "usage"
    assert type_("invite", "bg")[0] == 0
    assert type_("invite", "bg", "--withdraw")[1]["withdrawn"] is True
    assert type_("invite", "bg", "--withdraw")[1]["code"] == "enrolment_unknown"


def test_where_there_are_no_operators_yet_one_word_is_enough(
    own: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, ro, file = People(own, tmp_path, monkeypatch), Applicant.new("ro"), tmp_path / "ro.join.json"
    token = JoinToken.parse(people.type("ana", "invite", "ro")[1]["token"])
    file.write_text(ro.asks(token).model_dump_json(exclude_none=True))
    assert people.type("ana", "requests", "import", str(file))[0] == 0
    words = " ".join(proofs.join_words(ro.asks(token)))
    assert people.type("ana", "approve", "ro", "--words", words)[1]["stage"] == "in_roster"
