"""`seci-hub`: what an operator of the hub types. Data to stdout, everything else to stderr."""

import asyncio
import gc
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
import uvloop
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from crypto.errors import CryptoError, HsmUnavailable
from crypto.journal import configure_logging
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
from hub import accounts, admission, database, registrar, rosternews, topology
from hub.broker import BrokerAddress
from hub.cli_approvals import approvals_app
from hub.cli_ca import ca_app
from hub.cli_console import console
from hub.cli_erase import erase, retention
from hub.cli_hubkey import hubkey_app
from hub.cli_join import approve, confirm, invitations, invite, join_desk, reject, requests_app
from hub.cli_keys import broker_key, renew, reseal
from hub.cli_ledger import ledger_app
from hub.cli_login import login, logout, whoami
from hub.cli_operator import operator_app
from hub.cli_policy import coordinator_app, policy_app
from hub.cli_quarantine import quarantine_app
from hub.cli_roster import roster_app
from hub.cli_standing import crl, held_app, remove, revoke, suspend, unsuspend
from hub.cli_stats import stats_app
from hub.cli_status import status
from hub.cli_time import timestamp, timestamps
from hub.cli_top import top
from hub.cli_watch import deadlines, messages, queues, trace
from hub.errors import DatabaseUnreachable, EnrolmentRefused, FileUnwritable, HandedOver, HubError, SettingsInvalid
from hub.ingest import Ingest
from hub.ledger import Ledger, head, take_turn
from hub.locked import hold_keys
from hub.metrics import count_event
from hub.monitor import make_app, monitored
from hub.roles import Action
from hub.settings import Settings
from hub.setup import BrokerNames, ends, ledger_of, make_keys
from hub.shell import PROGRAM, AsJson, Home, acting, answer, begin_anew, say, with_database
from schemas.codes import TASK_FORCES, Agency
from schemas.enrolment import EnrolmentRequest

app: Final = typer.Typer(
    no_args_is_help=True,
    help="The hub of the SECI Exchange.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    callback=typed.with_version,
)
STOP_S: Final = 4.0
app.add_typer(ledger_app, name="ledger")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(operator_app, name="operator")
app.add_typer(approvals_app, name="approvals")
app.add_typer(stats_app, name="stats")
app.add_typer(ca_app, name="ca")
app.add_typer(hubkey_app, name="hub-key")
app.add_typer(roster_app, name="roster")
app.add_typer(held_app, name="held")
app.add_typer(policy_app, name="policy")
app.add_typer(coordinator_app, name="coordinator")
app.add_typer(requests_app, name="requests")


@app.command()
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
        database.migrate(admin_database)
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


@app.command()
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


@app.command()
def enrol(
    request: Annotated[list[Path], typer.Argument(help="enrolment.json files of nodes.")],
    home: Home,
    out: Annotated[Path, typer.Option(help="Folder for the welcome files, <node>.welcome.json.")],
    task_force: Annotated[
        list[str] | None,
        typer.Option(
            parser=typed.one_of(TASK_FORCES), metavar="CODE", help="Membership; of a new node by default all."
        ),
    ] = None,
    agency: Annotated[list[Agency] | None, typer.Option(help="Agencies; of a new node: police, customs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Admit nodes: certificates, broker rights, a new roster in the ledger, and a welcome file for each.

    A node that is in the roster already keeps its memberships and agencies, but for those given here.
    """
    settings = Settings.load(home)
    requests = [_read_request(path) for path in request]
    if len({item.node for item in requests}) != len(requests):
        raise EnrolmentRefused("two of the files are for one node", "give one enrolment.json for each node")
    log = ledger_of(settings)
    signer = log.signer.key

    async def check(connection: AsyncConnection) -> tuple[list[str], list[str], dict[str, str]]:
        roster = await registrar.current(connection, log.keys)
        for item in requests:
            registrar.check_request(item, roster)
        nodes = {node.node for node in roster.nodes} | {item.node for item in requests}
        return sorted(nodes), registrar.absent(roster), await accounts.of_nodes(connection)

    async def admit(connection: AsyncConnection) -> int:
        await take_turn(connection)
        before = await registrar.current(connection, log.keys)
        for item in requests:
            registrar.check_request(item, before)
            await registrar.keep_certificate(connection, certificates_pem[item.node], item.node)
        after = registrar.with_admitted(before, requests, agency, task_force)
        if after == before.nodes and before.version:
            return before.version
        return (await registrar.publish_roster(connection, log, after, signer)).version

    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    # The broker first, and outside of the transaction: queues without a roster entry do no harm.
    actor = acting(settings, Action.ENROL, _subject(requests, agency, task_force), check)
    topology.settle(settings.broker_ctl, settings.vhost, lambda: with_database(settings, check))
    users = with_database(settings, accounts.of_nodes)
    certificates_pem = {item.node: admission.certify(settings, item, users.get(item.node)) for item in requests}
    version = with_database(settings, admit, log, actor)
    news = with_database(settings, lambda connection: rosternews.of(connection, log, version))
    for item in requests:
        welcome = admission.welcome_of(settings, log, item.node, certificates_pem[item.node], news)
        with _writing(out):
            (out / f"{item.node}.welcome.json").write_text(welcome.model_dump_json(indent=2, exclude_none=True) + "\n")
    fingerprints = {item.node: item.fingerprint() for item in requests}
    lines = [f"enrolled {node}; fingerprint {words}" for node, words in fingerprints.items()]
    result = {"enrolled": list(fingerprints), "fingerprints": fingerprints, "roster": version}
    answer(result, as_json, "\n".join([*lines, f"roster version {version}"]))
    say("compare each fingerprint with the node's administrator by telephone before you hand its file over")
    say(f"next: give each node its file from {out}; there: seci-node init --welcome FILE")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileUnwritable(
            f"{folder} cannot be written: {error.strerror}", "name a folder with --out, and repeat the command"
        ) from error


@app.command()
def run(
    home: Home,
    monitor_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of /healthz, /readyz, /metrics; 0 takes a free one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a hub worker until it is told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    configure_logging(count_event)
    settings = Settings.load(home)
    broker = BrokerAddress.of(settings)
    ledger = ledger_of(settings)
    engine = database.engine_of(settings.database_url, f"{database.WORKER} {os.getpid()}")
    # However many ask the monitor, they take no connection from the work.
    watching = database.engine_of(settings.database_url, f"seci-hub monitor {os.getpid()}")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        ingest = Ingest(settings, broker, engine, ledger)
        port = settings.monitor_port if monitor_port is None else monitor_port
        stamping_s = None if settings.tsa is None else settings.tsa.interval_s
        async with monitored(make_app(ingest, watching, stamping_s, partial(ends, home)), home, port) as url:
            pid = os.getpid()
            text = f"hub of {home} at work, pid {pid}; monitor on {url}"
            answer({"home": str(home), "pid": pid, "monitor": url}, as_json, text)
            await _until_stopped(asyncio.create_task(ingest.run(stop)), stop)
        for one in (engine, watching):
            await one.dispose()

    # What is there by now stays: the collector of garbage need not look at it again and again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        uvloop.run(main())
    except HandedOver:
        begin_anew(settings)


async def _until_stopped(work: asyncio.Task[None], stop: asyncio.Event) -> None:
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait((work,), timeout=STOP_S)
    if not work.done():
        # A broker or database that does not answer must not keep us: what is unfinished comes again.
        structlog.get_logger().warning("stop_cut_short", after_s=STOP_S)
        os._exit(0)
    told.cancel()
    await work


def _read_request(path: Path) -> EnrolmentRequest:
    try:
        return EnrolmentRequest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsInvalid(f"{path} does not read: {error.strerror}", "name the node's enrolment.json") from error
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})) or "all of it"
        raise EnrolmentRefused(
            f"{path} is no enrolment request (wrong: {fields})", "ask the node for it again"
        ) from error


def _subject(
    requests: list[EnrolmentRequest], agencies: list[Agency] | None, task_forces: list[str] | None
) -> dict[str, object]:
    """What a second person confirms: which keys, by their fingerprints, and which memberships."""
    return {
        "nodes": {item.node: item.fingerprint() for item in requests},
        "agencies": agencies and list(map(str, agencies)),
        "task_forces": task_forces,
    }


app.command("join-desk")(join_desk)
app.command()(console)
ledger_app.command()(timestamp)
ledger_app.command()(timestamps)
ledger_app.command()(erase)
ledger_app.command()(retention)
for _command in (login, logout, whoami, broker_key, renew, reseal, status, top, queues, messages, trace, deadlines):
    app.command()(_command)
for _act in (suspend, unsuspend, revoke, remove, crl):
    app.command()(_act)
for _joining in (invite, invitations, approve, confirm, reject):
    app.command()(_joining)


def main() -> None:
    """The entry point: errors become one clear line and an exit code."""
    try:
        typed.run(app, PROGRAM)
    except HubError as error:
        typed.fail(PROGRAM, error.code, str(error), error.next_step, error.fields)
        raise SystemExit(error.exit_code) from error
    except CryptoError as error:
        typed.fail(PROGRAM, error.code, str(error), 'see docs/operations.md, section "Keys"')
        raise SystemExit(
            DatabaseUnreachable.exit_code if isinstance(error, HsmUnavailable) else SettingsInvalid.exit_code
        ) from error


if __name__ == "__main__":
    main()
