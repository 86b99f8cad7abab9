"""`seci-hub init`, `provision`: the hub's folder and database, and what its broker has."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.keyoptions import (
    Credential,
    KeyFile,
    PassphraseFile,
    Pkcs11Module,
    Pkcs11Pin,
    Pkcs11Token,
    source_of,
    token_of,
)
from hub import accounts, registrar, topology
from hub.errors import DatabaseUnreachable
from hub.ledger import Ledger, head, take_turn
from hub.locked import hold_keys
from hub.migrating import migrate
from hub.roles import Action
from hub.settings import Settings
from hub.setup import BrokerNames, ledger_of, make_keys
from hub.shell import AsJson, Home, acting, answer, say, with_database


def init(
    context: typer.Context,
    home: Home,
    admin_database: Annotated[
        str, typer.Option(envvar="SECI_HUB_ADMIN_DATABASE_URL", help="Owner's URL, for migrations.")
    ],
    database_url: Annotated[
        str, typer.Option("--database", envvar="SECI_HUB_DATABASE_URL", help="URL of role seci_hub.")
    ],
    broker_host: Annotated[str, typer.Option(help="RabbitMQ's name, as nodes call it.")] = "localhost",
    broker_port: Annotated[int, typer.Option(min=1, max=65535, help="RabbitMQ's port for TLS.")] = 5671,
    broker_ctl: Annotated[str, typer.Option(help="How rabbitmqctl is called.")] = "rabbitmqctl",
    broker_ip: Annotated[list[str] | None, typer.Option(help="IP addresses for the broker's certificate.")] = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    pkcs11_module: Pkcs11Module = None,
    pkcs11_token: Pkcs11Token = None,
    pkcs11_pin_file: Pkcs11Pin = None,
    lock_store: Annotated[Path | None, typer.Option(help="File with the newest checkpoint; else in the home.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the hub's keys, certificates, tables and settings. Safe to repeat."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    hold_keys(context, home)
    known = Settings.stored(home) if (home / "hub.json").exists() else None
    source = source_of(passphrase_file, key_file, credential)
    if known is not None:
        if not source.is_default and source != known.source:
            raise typer.BadParameter("the hub's keys open with another secret; change it with `seci-hub reseal`")
        source = known.source
        known.secret()
    token = token_of(pkcs11_module, pkcs11_token, pkcs11_pin_file)
    make_keys(home, BrokerNames((broker_host,), tuple(broker_ip or ())), source, token)
    say("keys and certificates are in place; bringing the database up to date")
    try:
        migrate(admin_database)
    except (OSError, DBAPIError) as error:
        raise DatabaseUnreachable(f"PostgreSQL: {error}", "check --admin-database, then repeat the command") from error
    if lock_store is None and known is not None:
        lock_store = known.lock_store
    settings = Settings(
        home=home,
        database_url=database_url,
        broker_host=broker_host,
        broker_port=broker_port,
        broker_ctl=tuple(shlex.split(broker_ctl)),
        **asdict(source),
        resealed=None if known is None else known.resealed,
        lock_store=None if lock_store is None else lock_store.absolute(),
        retention=() if known is None else known.retention,
    )
    if known is not None:
        # No option says them, and an update must not turn the timestamps off.
        kept = {"tsa_url", "tsa_roots", "tsa_interval_s", "session_idle_s", "session_s", "approval_s"}
        settings = settings.model_copy(update=known.model_dump(include=kept))
    settings.save()
    log = ledger_of(settings)
    _begin_lock_store(settings, log)
    verifier = log.signer.verifier.vkey()
    result = {"home": str(home), "log_vkey": verifier, "log_vkey_mldsa": log.second_vkey}
    answer(result, as_json, f"hub ready in {home}\nledger key: {verifier}")
    say("next: seci-hub provision")


def _begin_lock_store(settings: Settings, log: Ledger) -> None:
    # Only if there is none: what it says must not be forgotten because somebody repeats a command.
    if log.store.exists:
        return

    async def work(connection: AsyncConnection) -> int:
        await take_turn(connection)
        newest = log.checkpoint((await head(connection)).range)
        log.store.begin(newest)
        return newest.size

    say(f"the lock store {log.store.path} is new; the ledger has {with_database(settings, work)} entries")


def provision(home: Home, as_json: AsJson = False) -> None:
    """Give the broker its queues, users and rights, and publish a first roster. Safe to repeat."""
    settings = Settings.load(home)
    log = ledger_of(settings)

    async def work(connection: AsyncConnection) -> tuple[list[str], list[str], dict[str, str]]:
        await take_turn(connection)
        roster = await registrar.current(connection, log.keys)
        if not roster.version:
            await registrar.publish_roster(connection, log, (), log.signer.key)
        return [node.node for node in roster.nodes], registrar.absent(roster), await accounts.of_nodes(connection)

    first = not with_database(settings, lambda connection: registrar.newest(connection, 0))
    # To repeat what the roster says to the broker, anybody may who has the broker.
    actor = acting(settings, Action.PROVISION) if first else None
    with_database(settings, work, log, actor)
    nodes = topology.settle(settings.broker_ctl, settings.vhost, lambda: with_database(settings, work, log))
    answer({"nodes": nodes}, as_json, f"the broker is provisioned for {len(nodes)} nodes")
