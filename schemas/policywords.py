"""The policy of a roster, and what changed from one to another, in words for people."""

from collections.abc import Iterator

from schemas.policy import Policy, PolicyRule


def lines(policy: Policy) -> list[str]:
    """The rules in the order in which they are asked, who coordinates, what is opened, and who is suspended."""
    found = []
    for number, rule in enumerate(policy.table, 1):
        said = conditions(rule)
        found += [f"{number:>3}  {rule.effect:6}  {rule.id}: {rule.words}", *([f"{'':13}{said}"] if said else [])]
    found += ["", *(f"coordinator of {code}: {node}" for code, node in sorted(policy.leaders.items()))]
    found += [f"opened in {item.task_force} to {item.node}: {', '.join(item.kinds)}" for item in policy.opened or ()]
    return found + [f"suspended from {item.task_force}: {item.node}" for item in policy.suspended or ()]


def conditions(rule: PolicyRule) -> str:
    """When the rule fits; empty if it fits anything."""
    lists = (
        ("from", rule.senders),
        ("to", rule.recipients),
        ("agency", rule.agencies),
        ("task force", rule.task_forces),
        ("kind", rule.kinds),
        ("handling", rule.handling),
    )
    said = [f"{name} {' or '.join(values)}" for name, values in lists if values]
    said += ["in both directions"] * bool(rule.mutual) + [f"only {rule.only}"] * (rule.only is not None)
    return "; ".join(said)


def differences(before: Policy | None, after: Policy | None) -> list[str]:
    """What is another in `after`, a line for each. None is what the program has by default."""
    old, new = before or Policy(), after or Policy()
    return [*_rules(old, new), *_coordinators(old, new), *_openings(old, new), *_suspensions(old, new)]


def _rules(old: Policy, new: Policy) -> Iterator[str]:
    known, now = ({rule.id: rule for rule in policy.table} for policy in (old, new))
    yield from (f"rule {id} is taken away" for id in known if id not in now)
    for number, rule in enumerate(new.table, 1):
        if known.get(rule.id) != rule:
            what = "is changed" if rule.id in known else "is new"
            yield f"rule {rule.id} {what}, the {number}. to be asked: {rule.effect} {conditions(rule) or 'anything'}"
    if [id for id in known if id in now] != [id for id in now if id in known]:
        yield f"the rules are asked in another order: {', '.join(now)}"


def _coordinators(old: Policy, new: Policy) -> Iterator[str]:
    for code in sorted(old.leaders.keys() | new.leaders.keys()):
        was, now = old.leaders.get(code), new.leaders.get(code)
        if was != now:
            yield f"coordinator of {code}: {was or 'nobody'} becomes {now or 'nobody'}"


def _openings(old: Policy, new: Policy) -> Iterator[str]:
    was, now = (
        {(item.task_force, item.node, kind) for item in policy.opened or () for kind in item.kinds}
        for policy in (old, new)
    )
    yield from (f"{kind} is opened to {node} in {code}" for code, node, kind in sorted(now - was))
    yield from (f"{kind} is closed to {node} in {code}" for code, node, kind in sorted(was - now))


def _suspensions(old: Policy, new: Policy) -> Iterator[str]:
    was, now = ({(item.task_force, item.node) for item in policy.suspended or ()} for policy in (old, new))
    yield from (f"{node} is suspended from {code} by its coordinator" for code, node in sorted(now - was))
    yield from (f"{node} is suspended from {code} no more" for code, node in sorted(was - now))
