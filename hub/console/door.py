"""Where the console listens: on loopback in plain HTTP, anywhere else over TLS with a certificate of the hub's CA."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import ClassVar, Final

from crypto import keyfile
from crypto.pages import LOOPBACK
from hub.admission import Office
from hub.console.pages import make_console
from hub.deskdoor import DeskProtocol, TlsFiles, configured, listening
from hub.errors import PlainRefused
from hub.monitor import Server
from hub.setup import CONSOLE

CONNECTIONS: Final = 64


class ConsoleProtocol(DeskProtocol):
    """One connection of a browser."""

    cut_off: ClassVar[str] = "console_cut_off"


def is_loopback(listen: str) -> bool:
    """Whether only programs of this machine get there. Raises ValueError for what is no IP address."""
    return ip_address(listen).is_loopback


@asynccontextmanager
async def opened(office: Office, listen: str, port: int, names: tuple[str, ...], *, tls: bool) -> AsyncIterator[str]:
    """Serves browsers while the block runs, and gives the URL under the first of `names`.

    Raises PlainRefused, PortTaken, WrongPassphrase, KeyFileRefused.
    """
    if not tls and not is_loopback(listen):
        raise PlainRefused(f"passwords do not go to {listen} in plain", "serve it over TLS, or listen on 127.0.0.1")
    known = tuple(dict.fromkeys((*(_written(name) for name in names), *LOOPBACK)))
    with listening(listen, port) as listener:
        config = configured(make_console(office, known), ConsoleProtocol, _files(office) if tls else None, CONNECTIONS)
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"{'https' if tls else 'http'}://{known[0]}:{listener.getsockname()[1]}/console"
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)


def _written(name: str) -> str:
    """As it stands in an address."""
    return f"[{name}]" if ":" in name else name.lower()


def _files(office: Office) -> TlsFiles:
    home, secret = office.settings.home, office.settings.secret()
    key = home / f"{CONSOLE}.key"
    return TlsFiles(home / f"{CONSOLE}.pem", key, keyfile.tls_password(key, secret).decode())
