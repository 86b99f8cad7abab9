"""Loopback ports for private services.

Ports come from below the range that kernels hand to outgoing connections (Linux from 32768, macOS from
49152), so that no client takes a service's port while the service is down and to be restarted on it.
"""

import secrets
import socket

from deploy.local.errors import LocalError, PortTaken

LOOPBACK = "127.0.0.1"
FIRST, END = 15_000, 32_000
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a service could listen on the port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections that linger in TIME_WAIT do not keep a server from its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different free ports. Another process may still be quicker to one of them."""
    found: dict[int, None] = {}
    for _ in range(_ATTEMPTS * count):
        port = FIRST + secrets.randbelow(END - FIRST)
        if port not in found and is_free(port):
            found[port] = None
        if len(found) == count:
            return tuple(found)
    raise LocalError(f"no {count} free ports between {FIRST} and {END} on {LOOPBACK}")


def choose(port: int | None, purpose: str) -> int:
    """Return the port asked for, or a free one for None. Raises PortTaken."""
    if port is None:
        return free_ports(1)[0]
    if not is_free(port):
        raise PortTaken(f"port {port} for {purpose} is in use; end what listens on it or ask for another port")
    return port
