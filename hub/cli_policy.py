"""`seci-hub policy` and `seci-hub coordinator`: who may say what to whom, why, and who changes it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from hub import ledger, policies, registrar, rows, tables
from hub.errors import PolicyRefused, SettingsInvalid
from hub.policies import Asked
from hub.registrar import Change, Unsigned
from hub.roles import Action
from hub.settings import Settings
from hub.setup import hub_keys, ledger_of
from hub.shell import AsJson, Home, acting, answer, say, with_database
from hub.watch import iso
from schemas import policywords
from schemas.access import Access
from schemas.codes import TASK_FORCES, Agency, Handling
from schemas.policy import Decision as Verdict
from schemas.policy import Effect, Only, Policy, PolicyRule
from schemas.registry import RULES
from schemas.roster import Roster

policy_app: Final = typer.Typer(no_args_is_help=True, help="Who may say what to whom.")
coordinator_app: Final = typer.Typer(no_args_is_help=True, help="Who coordinates which task force.")
Because = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger with your name: name no person.")]
RuleName = Annotated[str, typer.Argument(metavar="ID", help="Of the rule, as `list` shows it.")]


def _node(text: str) -> str:
    return text.strip().lower()


_CODE: Final = typed.one_of(TASK_FORCES)
_KIND: Final = typed.one_of(RULES)
_CODES: Final = f"One of {', '.join(TASK_FORCES)}."
TaskForce = Annotated[str, typer.Option("--task-force", parser=_CODE, metavar="CODE", help=_CODES)]
TaskForceName = Annotated[str, typer.Argument(parser=_CODE, metavar="TASK_FORCE", help=_CODES)]
HandlingCode = Annotated[Handling, typer.Option("--handling", help="The message's handling code.")]
Kind = Annotated[str, typer.Option("--kind", parser=_KIND, metavar="KIND", help="As `seci-node schema list` has it.")]
Agencies = Annotated[Agency | None, typer.Option("--agency", help="The sender's; else the first it is enrolled with.")]


@policy_app.command("list")
def list_(home: Home, as_json: AsJson = False) -> None:
    """Show the rules in force, in the order in which they are asked; the first that fits decides.

    What none fits is refused.
    """
    settings = Settings.load(home)
    roster = _roster(settings)
    changes = with_database(settings, _changes)
    lines = policywords.lines(roster.policy)
    lines += [f"{item['at']}  {item['operator']}: {item['change']} ({item['reason']})" for item in changes]
    answer({**_described(roster), "changes": changes}, as_json, "\n".join(lines))


@policy_app.command()
def explain(
    home: Home,
    sender: Annotated[str, typer.Option("--from", parser=_node, metavar="NODE", help="Who sends, as bg.")],
    recipient: Annotated[str, typer.Option("--to", parser=_node, metavar="NODE", help="Who receives; one.")],
    kind: Kind,
    task_force: TaskForce,
    handling: HandlingCode = Handling.H1,
    agency: Agencies = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a message would be allowed, and by which rule. Exit code 4 if it would be refused.

    Who is not enrolled yet is taken as if enrolled in every task force.
    """
    roster = _roster(Settings.load(home))
    assumed = policies.imagined(roster.nodes, (sender, recipient))
    access = _access(roster, assumed)
    found = policies.explain(access, Asked(sender, recipient, task_force, kind, handling, agency))
    names = [node.node for node in assumed]
    result = _verdict(found) | {"roster": roster.version, "assumed": names}
    answer(result, as_json, f"{'allowed' if found.allowed else 'refused'} {_by(found)}")
    if names:
        say(f"not enrolled yet, and taken as if enrolled in every task force: {', '.join(names)}")
    if not found.allowed:
        raise typer.Exit(4)


@policy_app.command()
def matrix(
    home: Home,
    kind: Kind,
    task_force: TaskForce,
    handling: HandlingCode = Handling.H1,
    agency: Agencies = None,
    node: Annotated[list[str] | None, typer.Option(help="Only these; else all that are enrolled.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show for each pair of nodes whether a message of this kind may go from the one to the other.

    Rows send. A plus is allowed, a minus refused, by the rule of that number; a bare minus by none, or by membership.
    """
    roster = _roster(Settings.load(home))
    wanted = [_node(name) for name in node or ()]
    access = _access(roster, policies.imagined(roster.nodes, wanted))
    names = wanted or sorted(access.nodes)
    found = {
        (one, other): policies.explain(access, Asked(one, other, task_force, kind, handling, agency))
        for one in names
        for other in names
        if one != other
    }
    lines = [" ".join([f"{'from':8}", *(f"{name:>8}" for name in names)])]
    lines += [" ".join([f"{one:8}", *(f"{_cell(found.get((one, other))):>8}" for other in names)]) for one in names]
    used = {verdict.number: verdict.rule for verdict in found.values() if verdict.rule is not None}
    lines += [f"rule {number}, {rule.id}: {rule.words}" for number, rule in sorted(used.items())]
    pairs = [{"from": one, "to": other, **_verdict(verdict)} for (one, other), verdict in found.items()]
    answer({"pairs": pairs, "roster": roster.version}, as_json, "\n".join(lines))


@policy_app.command()
def add(
    id: RuleName,
    home: Home,
    effect: Annotated[Effect, typer.Option(help="What becomes of a message that fits.")],
    words: Annotated[str, typer.Option(help="What it says, for who is refused by it.")],
    reason: Because,
    sender: Annotated[list[str] | None, typer.Option("--from", help="Node or category; repeat for more.")] = None,
    recipient: Annotated[list[str] | None, typer.Option("--to", help="Node or category; repeat for more.")] = None,
    mutual: Annotated[bool, typer.Option("--mutual", help="Also the other way round.")] = False,
    agency: Annotated[list[Agency] | None, typer.Option(help="The sender's.")] = None,
    task_force: Annotated[list[str] | None, typer.Option(help="And its sub-projects.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="A kind, a pattern as drugs.*, or personal.")] = None,
    handling: Annotated[list[Handling] | None, typer.Option(help="Repeat for more.")] = None,
    only: Annotated[Only | None, typer.Option(help="A further condition; see docs/operations.md.")] = None,
    before: Annotated[str | None, typer.Option(help="The rule to stand before; else before all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add a rule, by default before all others. What is left out fits anything. A new roster says so to all nodes."""
    rule = _rule(
        id=id,
        effect=effect,
        words=words,
        senders=_names(sender),
        recipients=_names(recipient),
        mutual=1 if mutual else None,
        agencies=tuple(agency or ()) or None,
        task_forces=tuple(task_force or ()) or None,
        kinds=tuple(kind or ()) or None,
        handling=tuple(handling or ()) or None,
        only=only,
    )

    def change(roster: Unsigned) -> Policy:
        return policies.with_rule(roster.policy, rule, before, roster.nodes)

    _change(home, f"rule {id} added", {"rule": _json(rule), "before": before}, change, reason, as_json)


@policy_app.command()
def remove(id: RuleName, home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Remove a rule. A new roster says so to all nodes."""
    what = f"rule {id} removed"
    _change(home, what, {}, lambda roster: policies.without_rule(roster.policy, id), reason, as_json)


@policy_app.command()
def diff(home: Home, as_json: AsJson = False) -> None:
    """Show how the rules in force differ from the program's default. Exit code 3 if they do."""
    found = list(policies.differences(_roster(Settings.load(home)).policy.table))
    lines = [f"{what:8} {rule.effect:6} {rule.id}: {rule.words}" for what, rule in found]
    result = {"differences": [{"what": what, "rule": _json(rule)} for what, rule in found]}
    answer(result, as_json, "\n".join(lines) or "the rules in force are the default ones")
    if found:
        raise typer.Exit(3)


@policy_app.command()
def reset(home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Go back to the program's default rules. Coordinators, and what they opened and suspended, stay."""

    def change(roster: Unsigned) -> Policy:
        if roster.version and not list(policies.differences(roster.policy.table)):
            raise PolicyRefused("the rules in force are the default ones", "nothing to do")
        return roster.policy.model_copy(update={"rules": None})

    _change(home, "rules reset to the default", {}, change, reason, as_json)


@coordinator_app.command("list")
def coordinators(home: Home, as_json: AsJson = False) -> None:
    """Show who coordinates which task force; a sub-project without one has that of its parent."""
    access = _access(_roster(Settings.load(home)))
    found = {code: access.coordinator(code) for code in TASK_FORCES}
    answer({"coordinators": found}, as_json, "\n".join(f"{code:18} {node or '-'}" for code, node in found.items()))


@coordinator_app.command("set")
def set_(
    task_force: TaskForceName,
    node: Annotated[str, typer.Argument(parser=_node, metavar="NODE", help="Its id, for example ro.")],
    home: Home,
    reason: Because,
    as_json: AsJson = False,
) -> None:
    """Name the coordinator of a task force: it may admit and suspend members, and open kinds to observers."""

    def change(roster: Unsigned) -> Policy:
        return policies.with_coordinator(roster.policy, task_force, node, roster.nodes)

    _change(home, f"coordinator of {task_force}: {node}", {}, change, reason, as_json)


@coordinator_app.command("remove")
def unset(task_force: TaskForceName, home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Leave a task force without a coordinator of its own. What was admitted, suspended and opened stays."""

    def change(roster: Unsigned) -> Policy:
        return policies.with_coordinator(roster.policy, task_force, None, roster.nodes)

    _change(home, f"coordinator of {task_force} removed", {}, change, reason, as_json)


def _change(
    home: Path, what: str, about: Mapping[str, Any], change: Callable[[Unsigned], Policy], reason: str, as_json: bool
) -> None:
    settings, why = Settings.load(home), reason.strip()
    if not why:
        raise SettingsInvalid("the reason is empty", "say why: it goes into the ledger")
    log = ledger_of(settings)
    key = log.signer.key

    async def possible(connection: AsyncConnection) -> Policy:
        return change(await registrar.current(connection, log.keys))

    actor = acting(settings, Action.POLICY, {"change": what, "reason": why, **about}, possible)

    async def work(connection: AsyncConnection) -> int:
        await ledger.take_turn(connection)
        before = await registrar.current(connection, log.keys)
        done = await registrar.publish(connection, log, before.nodes, key, Change(change(before)))
        index = done.appended.receipts[0].index
        row = (done.roster.version, index, done.roster.at, actor.name, what, why)
        await rows.insert(connection, {"policy_change": [row]})
        return done.roster.version

    version = with_database(settings, work, log, actor)
    answer({"change": what, "roster": version}, as_json, f"{what}; roster version {version}")


async def _changes(connection: AsyncConnection) -> list[dict[str, Any]]:
    table = tables.policy_change
    found = await connection.execute(select(table).order_by(table.c.version.desc()).limit(10))
    names = ("version", "operator", "change", "reason")
    return [
        {"at": iso(row.at), "index": row.leaf_index, **{name: getattr(row, name) for name in names}} for row in found
    ]


def _roster(settings: Settings) -> Unsigned:
    acting(settings, Action.LOOK)
    key = hub_keys(settings)
    return with_database(settings, lambda connection: registrar.current(connection, key))


def _access(roster: Unsigned, more: Sequence[Any] = ()) -> Access:
    return Access.of(Roster(version=max(1, roster.version), at=0, nodes=(*roster.nodes, *more), policy=roster.policy))


def _opened(roster: Unsigned) -> Sequence[Any]:
    return roster.policy.opened or ()


def _described(roster: Unsigned) -> dict[str, Any]:
    policy = roster.policy.written_out().model_dump(mode="json", exclude_none=True)
    return {"roster": roster.version, "opened": [], "suspended": [], **policy}


def _by(found: Verdict) -> str:
    return f"by {found.words}" if found.rule is not None else f"({found.words})"


def _cell(found: Verdict | None) -> str:
    if found is None:
        return "."
    return f"{'+' if found.allowed else '-'}{found.number or ''}"


def _verdict(found: Verdict) -> dict[str, Any]:
    rule = None if found.rule is None else found.rule.id
    code = None if found.code is None else str(found.code)
    return {"allowed": found.allowed, "rule": rule, "number": found.number, "words": found.words, "code": code}


def _json(rule: PolicyRule) -> dict[str, Any]:
    return rule.model_dump(mode="json", exclude_none=True)


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    return tuple(_node(name) for name in given or ()) or None


def _rule(**fields: Any) -> PolicyRule:
    try:
        return PolicyRule(**fields)
    except ValueError as error:
        wrong = ", ".join(sorted({str(item["loc"][0]) for item in error.errors()})) if hasattr(error, "errors") else ""
        raise PolicyRefused(f"the rule is wrong in: {wrong or error}", "see docs/operations.md, Policy") from error
