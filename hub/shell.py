"""What every command of `seci-hub` shares: its options, the way to the database, and how it speaks."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.errors import HubKeyForeign, SignatureInvalid
from crypto.log import log
from hub import acts, database, handing, permits, sessionfile
from hub.acts import Actor
from hub.errors import (
    ApprovalWaiting,
    DatabaseUnreachable,
    HandedOver,
    KeysBusy,
    LedgerBehind,
    LedgerForked,
    LockStoreUnusable,
)
from hub.ledger import KEY_CHANGED, Ledger
from hub.locked import keys_alone
from hub.pen import writing
from hub.roles import RULES, Action, Leaf
from hub.sessions import Limits
from hub.settings import HOME_VARIABLE, Settings
from hub.setup import ledger_of, operators_secret

T = TypeVar("T")
Home = Annotated[Path, typer.Option(envvar=HOME_VARIABLE, help="The hub's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_database(
    settings: Settings,
    work: Callable[[AsyncConnection], Coroutine[Any, Any, T]],
    writes: Ledger | None = None,
    actor: Actor | None = None,
) -> T:
    """Runs `work` in one transaction, which may append to `writes`; what an `actor` does is put on record in it, too.

    Raises DatabaseUnreachable, DatabaseOutdated; SessionRequired, ApprovalClosed if what `acting` found has changed;
    HandedOver if another key signs by now: it is in its place then, and the next command has it.
    """

    async def main() -> T:
        engine = database.engine_of(settings.database_url)
        try:
            async with engine.begin() if writes is None else writing(engine, writes) as connection:
                if writes is not None and actor is not None:
                    await permits.begin(connection, writes, actor, now_ms())
                return await work(connection)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(main())
    except (HandedOver, SignatureInvalid, HubKeyForeign) as error:
        # Whoever handed over may have been killed on the way: what is left to do is done here. What does not verify may
        # only be of a key that was not in its place.
        if _took_over(settings) or isinstance(error, HandedOver):
            raise HandedOver(KEY_CHANGED, "repeat the command") from error
        raise
    except database.DATABASE_TROUBLE as error:
        raise database.explained(error) from error


def take_over(settings: Settings) -> bool:
    """Puts the hub's signing key of today in its place; whether that was to be done. Raises as `handing.take_over`."""

    async def main() -> bool:
        engine = database.engine_of(settings.database_url)
        try:
            async with engine.connect() as connection:
                return await handing.take_over(connection, settings.home, Settings.stored(settings.home).secret())
        finally:
            await engine.dispose()

    try:
        return asyncio.run(main())
    except database.DATABASE_TROUBLE as error:
        raise database.explained(error) from error


def _took_over(settings: Settings) -> bool:
    """As `take_over`; but where a command writes keys just now, that is left to it or to the next."""
    try:
        with keys_alone(settings.home):
            return take_over(settings)
    except KeysBusy:
        return False


def begin_anew(settings: Settings) -> NoReturn:
    """Begins this very program anew, with the key that signs by now: all in its memory is of the one before.

    While a command writes keys it may have the old one once more, and then begins anew again.
    """
    _took_over(settings)
    log.warning("key_handed_over", next="nothing to do: this process begins anew with the new key")
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 ourselves


def acting(
    settings: Settings,
    action: Action,
    subject: Mapping[str, Any] | None = None,
    possible: Callable[[AsyncConnection], Coroutine[Any, Any, object]] | None = None,
) -> Actor:
    """Who types this command: each calls it once, first of all, and gives what it returns to `with_database`.

    `subject` is what it is done to (JSON, no secret): it goes into the ledger, and a second person confirms just that.
    `possible` raises if it cannot be done anyway: nobody is asked to confirm that. What is only looked at is put on
    record here. Raises SessionRequired, RoleMissing; ApprovalWaiting if it takes two and nobody has confirmed it yet:
    then it was asked for.
    """
    token, limits, secret = sessionfile.read(settings.home), limits_of(settings), operators_secret(settings)
    log = ledger_of(settings)

    async def look(connection: AsyncConnection) -> Actor:
        found = await permits.permit(connection, log, action, subject or {}, token, limits, secret, now_ms())
        if possible is not None:
            await possible(connection)
        return found

    actor = with_database(settings, look)
    rule = RULES[action]
    if rule.changes:
        if actor.is_setup:
            say(f"there are no operators yet: this is on record as `{actor.name}`; see `seci-hub operator add --help`")
            return actor
        return _approved(settings, log, actor)
    if rule.leaf is Leaf.ENTRY and not actor.is_setup:
        _on_record(settings, log, actor)
    return actor


def looking(settings: Settings) -> None:
    """As `acting` of who only looks at the broker: what that says, one must see just when the database is down."""
    try:
        acting(settings, Action.LOOK)
    except DatabaseUnreachable as error:
        say(f"who you are cannot be asked: {error}")


def _approved(settings: Settings, log: Ledger, actor: Actor) -> Actor:
    async def work(connection: AsyncConnection) -> Actor | int:
        return await permits.approved(connection, log, actor, settings.approval_s * 1000, now_ms())

    found = with_database(settings, work, log)
    if isinstance(found, Actor):
        return found
    raise ApprovalWaiting(
        found,
        f"{actor.action} takes two: approval {found} waits for another person; nothing else was done",
        f"a security officer confirms it: seci-hub approvals confirm {found}; then repeat the command",
    )


def _on_record(settings: Settings, log: Ledger, actor: Actor) -> None:
    try:
        with_database(settings, lambda connection: acts.record(connection, log, actor), log)
    except (LedgerBehind, LedgerForked, LockStoreUnusable) as error:
        # Just then one must be able to look.
        say(f"that you looked is not on record: {error}")


def limits_of(settings: Settings) -> Limits:
    """How long sessions last."""
    return Limits(settings.session_idle_s * 1000, settings.session_s * 1000)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def answer(result: Any, as_json: bool, text: str) -> None:
    """Data, to stdout."""
    typer.echo(json.dumps(result) if as_json else typed.shown(text))


def say(text: str) -> None:
    """Everything else, to stderr."""
    typer.echo(typed.shown(text), err=True)
