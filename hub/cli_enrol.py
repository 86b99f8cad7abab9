"""`seci-hub enrol`: nodes are admitted by their enrolment.json."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from hub import accounts, admission, registrar, rosternews, topology
from hub.errors import EnrolmentRefused, FileUnwritable, SettingsInvalid
from hub.ledger import take_turn
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from schemas.codes import TASK_FORCES, Agency
from schemas.enrolment import EnrolmentRequest


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
