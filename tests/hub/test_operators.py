"""Sessions, logins and approvals of operators in a real database: races, guesses, time, and who changes rows."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pyotp
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.receipt import leaf_of
from hub import approvals, credentials, erasure, ledger, operators, permits, sessions
from hub import login as logins
from hub.acts import Actor
from hub.approvals import Approval
from hub.credentials import Credential
from hub.errors import (
    ApprovalClosed,
    ApprovalWaiting,
    LoginPaused,
    LoginRefused,
    OperatorsTampered,
    OwnApproval,
    RoleMissing,
    SessionRequired,
)
from hub.login import Account, PasswordProof
from hub.pen import writing
from hub.quarantine import Decision
from hub.roles import Action, Role
from hub.sessions import FREE_ATTEMPTS, Limits, pause_ms
from hub.settings import Settings
from hub.setup import operators_secret
from schemas.control import Entry, Event
from tests.hub.ownhub import OwnHub

pytestmark = pytest.mark.system
PASSWORD = "correct horse battery"
NOW = 1_800_000_000_000
LIMITS = Limits(900_000, 28_800_000)
FORBIDDEN = (
    "DELETE FROM operator",
    "UPDATE operator SET name = ''",
    "DELETE FROM operator_act",
    "UPDATE operator_act SET operator = ''",
    "DELETE FROM approval",
    "UPDATE approval SET subject = ''",
)


class Clocked:
    """Accounts of ana and bob, officers, and eve, an operator, in a real database, at times that the test says."""

    def __init__(self, own: OwnHub, engine: AsyncEngine) -> None:
        self.own, self.engine, self.log = own, engine, own.log
        self.secret = operators_secret(Settings.load(own.home))
        self.who: dict[str, Credential] = {}
        self.token: dict[str, str] = {}

    async def begin(self) -> None:
        """All three are logged in at NOW."""
        one = Credential.new("ana", Role.OFFICER, PASSWORD)
        eve = Credential("eve", Role.OPERATOR, one.password, credentials.new_totp())
        for credential in (one, Credential("bob", Role.OFFICER, one.password, credentials.new_totp()), eve):
            name = credential.name
            self.who[name] = credential
            async with writing(self.engine, self.log) as connection:
                if credential is one:
                    subject = {"name": name, "role": str(one.role)}
                    await permits.begin(connection, self.log, Actor(name, Action.OPERATOR_ADD, subject, one.role), NOW)
                await operators.add(connection, credential, self.secret, NOW)
            self.token[name] = await self.finish(Account(name, credential, None, 0), 0, NOW)

    def code(self, name: str, at: int) -> str:
        """What the authenticator shows."""
        return pyotp.TOTP(self.who[name].totp).at(at // 1000)

    async def login(self, name: str, password: str, code: str, at: int) -> str:
        """As `seci-hub login` does it. Raises LoginRefused, LoginPaused."""
        async with self.engine.begin() as connection:
            account, failures = await logins.attempt(connection, name, self.secret, at)
        step = PasswordProof(password, code).holds(account, at)
        if step is None:
            if pause_ms(failures):
                async with writing(self.engine, self.log) as connection:
                    await logins.lock(connection, self.log, account, failures)
            raise logins.refused()
        return await self.finish(account, step, at)

    async def finish(self, account: Account, step: int, at: int) -> str:
        """The second half of it."""
        async with writing(self.engine, self.log) as connection:
            return (await logins.finish(connection, self.log, account, step, LIMITS, at))[0]

    async def permit(self, name: str, action: Action, at: int, **subject: Any) -> Actor:
        """As `acting` asks for it."""
        async with self.engine.begin() as connection:
            token = self.token[name]
            return await permits.permit(connection, self.log, action, subject, token, LIMITS, self.secret, at)

    async def ask(self, actor: Actor, lasts_ms: int = 60_000) -> Actor | int:
        """As `acting` asks for the second."""
        async with writing(self.engine, self.log) as connection:
            return await permits.approved(connection, self.log, actor, lasts_ms, time.time_ns() // 1_000_000)

    async def confirm(self, number: int, name: str) -> Approval:
        """In a transaction of its own."""
        async with self.engine.connect() as connection:
            subject = approvals.confirming(await approvals.get(connection, number))
        actor = await self.permit(name, Action.CONFIRM, NOW, **subject)
        async with writing(self.engine, self.log) as connection:
            await permits.begin(connection, self.log, actor, NOW)
            return await approvals.confirm(connection, number, name)

    async def do(self, actor: Actor) -> None:
        """All that `with_database` does before the work, and no work."""
        async with writing(self.engine, self.log) as connection:
            await permits.begin(connection, self.log, actor, NOW)


@pytest.fixture
async def clocked(own: OwnHub, own_engine: AsyncEngine) -> Clocked:
    """They are logged in."""
    found = Clocked(own, own_engine)
    await found.begin()
    return found


async def test_what_is_asked_for_is_confirmed_by_one_other_and_done_once(clocked: Clocked) -> None:
    actor = await clocked.permit("eve", Action.ENROL, NOW, node="ro")
    assert await clocked.ask(actor) == 1
    with pytest.raises(RoleMissing):
        await clocked.confirm(1, "eve")
    with pytest.raises(OwnApproval):
        async with writing(clocked.engine, clocked.log) as connection:
            await approvals.confirm(connection, 1, "eve")
    # Two confirm at once: one of them has.
    both = await asyncio.gather(*(clocked.confirm(1, name) for name in ("ana", "bob")), return_exceptions=True)
    assert [type(one) for one in both if isinstance(one, Exception)] == [ApprovalClosed]
    approved = await clocked.ask(actor)
    assert isinstance(approved, Actor) and approved.approval == 1
    # It is good for that and nothing else, not without it, and once, however many do it at once.
    for wrong in (replace(approved, subject={"node": "bg"}), replace(approved, approval=None)):
        with pytest.raises((ApprovalClosed, ApprovalWaiting)):
            await clocked.do(wrong)
    done = await asyncio.gather(*(clocked.do(approved) for _ in range(3)), return_exceptions=True)
    assert [one for one in done if one is None] == [None]
    assert {type(one) for one in done if one is not None} == {ApprovalClosed}
    assert await clocked.ask(actor) == 2
    # Nor is what an officer confirmed who is one no more.
    await clocked.confirm(2, "bob")
    async with writing(clocked.engine, clocked.log) as connection:
        await operators.void(connection, "bob", NOW)
    assert await clocked.ask(actor) == 3
    # What has expired is asked for anew, confirmed or not; what a disabled operator asked for is void.
    assert await clocked.ask(replace(actor, subject={"node": "hu"}), lasts_ms=1) == 4
    await asyncio.sleep(0.01)
    with pytest.raises(ApprovalClosed, match="expired"):
        await clocked.confirm(4, "ana")
    async with writing(clocked.engine, clocked.log) as connection:
        await operators.disable(connection, "eve", NOW)
    with pytest.raises(ApprovalClosed, match="void"):
        await clocked.confirm(3, "ana")
    with pytest.raises(SessionRequired):
        await clocked.do(approved)


async def test_guessing_is_stopped_and_tells_nothing(clocked: Clocked) -> None:
    for name in ("ana", "nobody"):
        # Counted before they are judged.
        for attempt in range(1, FREE_ATTEMPTS):
            async with clocked.engine.begin() as connection:
                assert await sessions.attempt(connection, name, NOW) == attempt
        with pytest.raises(LoginRefused):
            await clocked.login(name, "wrong", "000000", NOW + 1)
        # In the pause not even what is right is looked at.
        with pytest.raises(LoginPaused, match="in 30 s"):
            await clocked.login(name, PASSWORD, clocked.code("ana", NOW), NOW + FREE_ATTEMPTS)
    later = NOW + 31_000
    code = clocked.code("ana", later)
    token = await clocked.login("ana", PASSWORD, code, later)
    assert token not in clocked.token.values()
    # What failed is forgotten; the code is used up, also for who began with it before.
    with pytest.raises(LoginRefused):
        await clocked.login("ana", PASSWORD, code, later)
    account = Account("ana", clocked.who["ana"], None, 0)
    with pytest.raises(LoginRefused):
        await clocked.finish(account, later // 30_000, later)
    async with clocked.engine.connect() as connection:
        query = text(
            "SELECT operator, convert_from(act, 'UTF8') FROM operator_act"
            " WHERE action <> 'login' ORDER BY operator, leaf_index"
        )
        acted = (await connection.execute(query)).all()
    assert [name for name, _ in acted] == ["ana", "ana", "unknown"]
    assert '"failures":5' in acted[1][1] and "nobody" not in str(acted)


async def test_who_fails_at_the_console_keeps_nobody_from_the_command(clocked: Clocked) -> None:
    proof = PasswordProof(PASSWORD, clocked.code("ana", NOW))
    assert PASSWORD not in repr(proof) and proof.code not in repr(proof)
    for attempt in range(1, FREE_ATTEMPTS + 1):
        async with clocked.engine.begin() as connection:
            assert await sessions.attempt(connection, "ana", NOW, sessions.CONSOLE) == attempt
    with pytest.raises(LoginPaused):
        async with clocked.engine.begin() as connection:
            await sessions.attempt(connection, "ana", NOW + 1, sessions.CONSOLE)
    async with clocked.engine.connect() as connection:
        assert await sessions.failures(connection, "ana") == FREE_ATTEMPTS
    await clocked.login("ana", PASSWORD, proof.code, NOW + 1)
    # Who has got in by the command has shown who it is: the console's pause is over, too.
    async with clocked.engine.begin() as connection:
        assert await sessions.failures(connection, "ana") == 0
        assert await sessions.attempt(connection, "ana", NOW + 2, sessions.CONSOLE) == 1


async def test_a_session_is_over_when_idle_and_after_its_time(clocked: Clocked) -> None:
    for moment in range(NOW, NOW + LIMITS.longest, LIMITS.idle - 1):
        assert (await clocked.permit("ana", Action.LOOK, moment)).role is Role.OFFICER
    for name, moment in (("ana", NOW + LIMITS.longest), ("bob", NOW + LIMITS.idle)):
        with pytest.raises(SessionRequired):
            await clocked.permit(name, Action.LOOK, moment)


async def test_a_clock_that_was_ahead_keeps_no_session_and_nobody_out(clocked: Clocked) -> None:
    ahead = NOW + 365 * 86_400_000
    clocked.token["ana"] = await clocked.finish(Account("ana", clocked.who["ana"], None, 0), 0, ahead)
    with pytest.raises(SessionRequired):
        await clocked.permit("ana", Action.LOOK, NOW)
    async with clocked.engine.begin() as connection:
        for _ in range(FREE_ATTEMPTS):
            await sessions.attempt(connection, "bob", ahead)
        assert await sessions.attempt(connection, "bob", NOW) == 1


async def test_what_is_changed_in_the_database_is_found_or_forbidden(clocked: Clocked) -> None:
    await clocked.do(await clocked.permit("eve", Action.INVITE, NOW))
    async with clocked.engine.connect() as connection:
        for statement in (
            "DELETE FROM operator",
            "DELETE FROM operator_act",
            "UPDATE operator_act SET operator = ''",
            "DELETE FROM approval",
            "UPDATE approval SET subject = ''",
            "UPDATE operator SET name = ''",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"):
                await connection.execute(text(statement))
            await connection.rollback()
    # The function that erases for the hub's role erases no act.
    with pytest.raises(DBAPIError, match="must stay"):
        async with writing(clocked.engine, clocked.log) as connection:
            found = await erasure.candidates(connection, [0])
            turn = await ledger.take_turn(connection)
            await erasure.record(connection, clocked.log, turn, found, Decision("eve", "to hide it"))
    # A superuser confirms, by himself, what somebody asked for, or decides that nothing takes two.
    actor = await clocked.permit("eve", Action.ENROL, NOW, node="ro")
    assert await clocked.ask(actor) == 1
    clocked.own.sql("UPDATE approval SET confirmed_by = 'bob', confirmed_at = asked_at")
    with pytest.raises(OperatorsTampered, match="does not have it that bob confirmed approval 1"):
        await clocked.do(replace(actor, approval=1))
    clocked.own.sql(
        """INSERT INTO operator_act SELECT leaf_index + 1000, at, 'bob', 'four-eyes', '{"subject":{"actions":[]}}'"""
        " FROM operator_act ORDER BY leaf_index LIMIT 1"
    )
    with pytest.raises(OperatorsTampered, match="is not the one in the ledger"):
        await clocked.ask(replace(actor, subject={"node": "bg"}))
    clocked.own.sql("DELETE FROM operator_act WHERE action = 'four-eyes'")
    # Or logs in as anybody, without a word.
    clocked.own.sql(
        "INSERT INTO operator_session SELECT sha256('mine'), operator, begun, last_used, ends FROM operator_session"
        " WHERE operator = 'ana'"
    )
    clocked.token["mine"] = "mine"
    with pytest.raises(OperatorsTampered, match="does not have it that ana logged in"):
        await clocked.permit("mine", Action.LOOK, NOW)
    # A superuser makes an officer of an operator.
    clocked.own.sql("UPDATE operator SET role = 'security-officer' WHERE name = 'eve'")
    with pytest.raises(OperatorsTampered):
        await clocked.permit("eve", Action.LOOK, NOW)
    # Or takes them all away, so that everybody acts as `setup`: the ledger knows that there were some.
    clocked.own.sql("DELETE FROM operator", "DELETE FROM operator_act")
    with pytest.raises(SessionRequired):
        await clocked.permit("ana", Action.ENROL, NOW)


async def _asked(clocked: Clocked, actor: Actor, confirmer: str = "") -> Actor:
    """With an approval of its own, which the one named has confirmed."""
    number = await clocked.ask(actor)
    assert isinstance(number, int)
    if confirmer:
        await clocked.confirm(number, confirmer)
    return replace(actor, approval=number)


async def _found_out(clocked: Clocked, actor: Actor, words: str) -> None:
    with pytest.raises(OperatorsTampered, match=words):
        await clocked.do(actor)


async def test_an_act_is_whose_and_what_the_ledger_says(clocked: Clocked) -> None:
    sql = clocked.own.sql
    # What bob refused, written down as confirmed.
    ana = await _asked(clocked, await clocked.permit("ana", Action.POLICY, NOW, change="open"))
    number = ana.approval or 0
    async with clocked.engine.connect() as connection:
        about = approvals.confirming(await approvals.get(connection, number))
    bob = await clocked.permit("bob", Action.REFUSE, NOW, **about)
    async with writing(clocked.engine, clocked.log) as connection:
        await permits.begin(connection, clocked.log, bob, NOW)
        await approvals.refuse(connection, number, "bob")
    sql("UPDATE approval SET ended = NULL, confirmed_by = 'bob', confirmed_at = asked_at")
    sql("UPDATE operator_act SET action = 'confirm' WHERE action = 'refuse'")
    await _found_out(clocked, ana, "another act")
    # Eve's login, written down as ana's.
    sql("UPDATE operator_act SET operator = 'ana' WHERE operator = 'eve'")
    sql("UPDATE operator_session SET operator = 'ana' WHERE operator = 'eve'")
    with pytest.raises(OperatorsTampered, match="another's"):
        await clocked.permit("eve", Action.LOOK, NOW)


async def test_an_approval_is_of_two_and_good_once_whatever_its_row_says(clocked: Clocked) -> None:
    # What ana asked for herself, written down as somebody else's question.
    ana = await _asked(clocked, await clocked.permit("ana", Action.POLICY, NOW, change="open"))
    clocked.own.sql("UPDATE approval SET asked_by = 'bob'")
    await clocked.confirm(ana.approval or 0, "ana")
    await _found_out(clocked, ana, "bob asked for")
    # What was done once, written down as not done yet, also where it has an entry of its own.
    for action in (Action.POLICY, Action.REVOKE):
        ana = await _asked(clocked, await clocked.permit("ana", action, NOW, node="bg"), "bob")
        await clocked.do(ana)
        clocked.own.sql("UPDATE approval SET ended = NULL")
        await _found_out(clocked, ana, "nobody has used up")


async def test_an_act_counts_in_the_tree_and_there_the_last_one(clocked: Clocked) -> None:
    """As somebody writes it who has the password of the hub's own role; but for a row that goes."""
    ana = await clocked.permit("ana", Action.POLICY, NOW, change="open")
    off = Actor("bob", Action.FOUR_EYES, {"actions": []}, Role.OFFICER, bytes(32)).described(NOW)
    # On an entry of what a node has sent; and beside the tree.
    sent = Entry(event=Event.REFUSED, at=NOW, node="ro", evidence=ledger.evidence(off))
    async with writing(clocked.engine, clocked.log) as connection:
        turn = await ledger.take_turn(connection)
        index = (await ledger.append(connection, clocked.log, turn, [sent])).receipts[0].index
    entry = sent.model_copy(update={"event": Event.OPERATOR, "node": "seci", "detail": "bob: four-eyes actions=none"})
    data = entry.to_bytes()
    values = {"at": index, "act": off, "salt": bytes(16), "leaf": leaf_of(bytes(16), data), "entry": data}
    act = "INSERT INTO operator_act VALUES (:at, 0, 'bob', 'four-eyes', :act)"
    leaf = "INSERT INTO ledger_leaf VALUES (:at, :leaf)"
    content = "INSERT INTO ledger_content VALUES (:at, 'operator', 0, :salt, :entry)"
    for at, statements in ((index, (act,)), (10**9, (leaf, content, act))):
        async with clocked.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement), values | {"at": at})
        with pytest.raises(OperatorsTampered, match="not the one in the ledger"):
            await clocked.ask(ana)
    clocked.own.sql("DELETE FROM operator_act WHERE action = 'four-eyes'")
    clocked.own.sql(
        "DELETE FROM ledger_content WHERE leaf_index > 1000", "DELETE FROM ledger_leaf WHERE leaf_index > 1000"
    )
    # A decision of long ago, once the one that took its place is out of the table.
    for actions in (["erase"], ["enrol", "erase"]):
        actor = await clocked.permit("ana", Action.FOUR_EYES, NOW, actions=actions)
        await clocked.do(await _asked(clocked, actor, "bob"))
    clocked.own.sql("DELETE FROM operator_act WHERE leaf_index = (SELECT max(leaf_index) FROM operator_act)")
    with pytest.raises(OperatorsTampered, match="last decision"):
        await clocked.ask(ana)
