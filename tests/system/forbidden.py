"""What a node must not do at the broker, as aiormq says it: each is refused by the rights of the node's user."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

Attempt = Callable[[Any], Awaitable[object]]

# An exchange and a routing key of it; the one without a name leads to every queue.
OF_OTHERS: Final = (
    ("in.ro", "normal"),
    ("dispatch", "bg"),
    ("dlx", ""),
    ("amq.direct", "q.inbox.bg"),
    ("", "q.inbox.bg"),
)
# As routing keys: all that anybody is reached by.
EVERYWHERE: Final = ["urgent", "ro", "tr", "tr.urgent", "q.inbox.tr", "q.inbox.ro", "#"]
# On a channel of its own each: the broker closes the channel that asks for what it may not.
_QUEUES: Final = ("q.inbox.ro", "q.inbox.ro.urgent", "q.in.ro", "q.in.hr", "q.quarantine")
FORBIDDEN: Final[dict[str, Attempt]] = {
    **{f"get from {q}": lambda c, q=q: c.basic_get(q, timeout=10) for q in _QUEUES},
    **{f"consume {q}": lambda c, q=q: c.basic_consume(q, print, timeout=10) for q in _QUEUES},
    **{f"purge {q}": lambda c, q=q: c.queue_purge(q, timeout=10) for q in _QUEUES},
    **{f"delete {q}": lambda c, q=q: c.queue_delete(q, timeout=10) for q in (*_QUEUES, "q.inbox.hr")},
    "declare a queue": lambda c: c.queue_declare("q.inbox.hr.mine", durable=True, timeout=10),
    "declare a queue of no name": lambda c: c.queue_declare("", exclusive=True, timeout=10),
    "declare its own inbox anew": lambda c: c.queue_declare("q.inbox.hr", timeout=10),
    "declare an exchange": lambda c: c.exchange_declare(exchange="in.hr.mine", timeout=10),
    "delete its own exchange": lambda c: c.exchange_delete("in.hr", timeout=10),
    "delete another's exchange": lambda c: c.exchange_delete("in.ro", timeout=10),
    "bind its inbox to another's exchange": lambda c: c.queue_bind("q.inbox.hr", "in.ro", "normal", timeout=10),
    "bind its inbox to dispatch": lambda c: c.queue_bind("q.inbox.hr", "dispatch", "ro", timeout=10),
    "bind another's inbox to its exchange": lambda c: c.queue_bind("q.inbox.ro", "in.hr", "normal", timeout=10),
    "unbind another's inbox": lambda c: c.queue_unbind("q.inbox.ro", "dispatch", "ro", timeout=10),
    "bind its exchange to dispatch": lambda c: c.exchange_bind("in.hr", "dispatch", routing_key="ro", timeout=10),
}
