"""Whether operators have let a node in: the ledger's word on an enrolment, which a row of the database alone is not.

Who can write to the database can write that somebody approved and another confirmed. So what follows from that asks
here first: for the acts, by these two, of just this request on just these terms.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from hub import acts, approvals
from hub.errors import EnrolmentRefused, OperatorsTampered
from hub.joining import Enrolment
from hub.ledger import Ledger
from hub.registrar import Unsigned
from hub.roles import Action
from hub.watch import iso

_KEEP: Final = "somebody wrote to the database behind the hub's back: keep it as it is; reject the request"


async def check(connection: AsyncConnection, log: Ledger, found: Enrolment, roster: Unsigned) -> None:
    """Raises OperatorsTampered without that word, EnrolmentRefused for a node that was shut out since it was given."""
    given = await _decided(connection, log, found)
    standing = next((node.standing for node in roster.nodes if node.node == found.node), None)
    if standing is not None and standing.since > given:
        raise EnrolmentRefused(
            f"{found.node} is {standing.state} since {iso(standing.since)}, after its enrolment was confirmed",
            f"reject this one (`seci-hub reject {found.node}`); if it is to come back, invite it anew",
        )


async def _decided(connection: AsyncConnection, log: Ledger, found: Enrolment) -> int:
    """When the last of those who had to has let it in (ms, by the ledger)."""
    approver, confirmer = found.approved_by or "", found.confirmed_by or ""
    about = ("{subject,invitation}", found.invitation.hex())
    approved = await acts.newest(connection, log, Action.APPROVE, approver, about)
    if approved is None or approved["subject"] != found.about():
        raise OperatorsTampered(f"the ledger does not have it that {approver!a} approved {found.node} so", _KEEP)
    if confirmer == approver:
        if "session" in approved and Action.ENROL in await approvals.chosen(connection, log):
            raise OperatorsTampered(f"nobody but {approver} has let {found.node} in, and it takes two", _KEEP)
        return int(approved["at"])
    confirmed = await acts.newest(connection, log, Action.ADMIT, confirmer, about)
    if confirmed is None or confirmed["subject"] != found.about():
        raise OperatorsTampered(f"the ledger does not have it that {confirmer!a} confirmed {found.node} so", _KEEP)
    return int(confirmed["at"])
