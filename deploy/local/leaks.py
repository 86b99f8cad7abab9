"""A search for a marker in everything that must hold no plaintext: broker data, database, logs."""

from pathlib import Path

from deploy.local.exchange import Exchange

CHUNK = 1 << 20


def find_leaks(exchange: Exchange, marker: str) -> list[str]:
    """The places where `marker` was found: files of the broker, logs, and rows of the database's dump."""
    broker = exchange.services.broker
    roots = [broker.home, exchange.logs, exchange.services.postgres.log]
    places = [str(path) for root in roots for path in _files(root) if _holds(path, marker.encode())]
    return places + (["database"] if _in_database(exchange, marker) else [])


def _files(root: Path) -> list[Path]:
    return [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]


def _holds(path: Path, marker: bytes) -> bool:
    last = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if marker in last + chunk:
                return True
            last = chunk[-len(marker) :]
    return False


def _in_database(exchange: Exchange, marker: str) -> bool:
    # A dump shows binary columns in hexadecimal, so both spellings are looked for.
    dump = exchange.services.postgres.dump()
    return marker.encode() in dump or marker.encode().hex().encode() in dump
