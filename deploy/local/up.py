"""`make up`, `make down`, `make status`: a whole exchange kept running in `.local/up`, for use by hand.

Data, keys and ports are kept from one `up` to the next; `make clean` forgets them.
"""

import argparse
import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Iterator, Sequence

from crypto import typed
from deploy.local import processes, services
from deploy.local.errors import AlreadyRunning, LocalError, NotRunning
from deploy.local.exchange import NODES, Exchange, prepare_tls
from deploy.local.instance import REPOSITORY, say

FOLDER = REPOSITORY / ".local" / "up"

_GUIDE = """
A first message, from Romania to all members of the task force on trafficking:

  .venv/bin/seci-node send --home .local/up/node/ro --kind alert --task-force trafficking \\
      --body deploy/examples/alert.json --wait
  .venv/bin/seci-node inbox --home .local/up/node/bg
  .venv/bin/seci-node status --home .local/up/node/ro
  .venv/bin/seci-hub status --home .local/up/hub

or over HTTP, as an integrator's program would read Bulgaria's inbox:

  curl -H "Authorization: Bearer $(cat .local/up/node/bg/api.token)" {url}/v1/inbox

Stop everything with `make down`; logs are in .local/up/log.
"""


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (FOLDER / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning("another `make up` or `make down` is at work; wait for it") from None
        yield


def up() -> None:
    """Starts what is not running yet, and tells how to use it. Raises LocalError."""
    with _alone():
        begin = time.monotonic()
        is_set_up = (FOLDER / "set-up").exists()
        if is_set_up and {"broker", "postgres"} <= {process.name for process in _running()}:
            say("RabbitMQ and PostgreSQL run already; looking for what is missing ...")
            _start_missing(_exchange(services.load(FOLDER)))
        else:
            _start_all()
        say(f"up after {time.monotonic() - begin:.0f} s\n")
    status()
    bulgaria = json.loads((FOLDER / "node" / "bg" / "api.json").read_text())["url"]
    sys.stdout.write(_GUIDE.format(url=bulgaria))


def down() -> None:
    """Ends everything in order. Nothing running is no error."""
    if not FOLDER.exists():
        say("nothing runs here")
        return
    with _alone():
        running = _running()
        say(f"stopping {len(running)} processes: nodes and hub first, then RabbitMQ and PostgreSQL ...")
        begin = time.monotonic()
        services.stop(FOLDER)
    say(f"stopped after {time.monotonic() - begin:.0f} s; data stays until `make clean`")


def status() -> None:
    """Lists what runs and where. Raises NotRunning if anything does not."""
    running = _running()
    if not running:
        raise NotRunning("nothing runs here; start it with `make up`")
    exchange = _exchange(services.load(FOLDER))
    names = {process.name: process for process in running}
    missing = [name for name in ("hub", "broker", "postgres", *(f"node-{node}" for node in NODES)) if name not in names]
    sys.stdout.write(f"hub       pid {_pid(names, 'hub')}\n")
    sys.stdout.write(f"broker    pid {_pid(names, 'broker')}, amqps port {exchange.services.broker.port}\n")
    sys.stdout.write(f"database  pid {_pid(names, 'postgres')}, port {exchange.services.postgres.port}\n")
    for node in NODES:
        home = exchange.node_home(node)
        runs = f"node-{node}" in names and (home / "api.json").exists()
        url = json.loads((home / "api.json").read_text())["url"] if runs else "down; `make up` starts it"
        sys.stdout.write(f"node {node:4} pid {_pid(names, f'node-{node}')}, API {url}\n")
    if missing:
        raise NotRunning(f"not running: {', '.join(missing)}; start them with `make up`")


def _start_all() -> None:
    services.stop(FOLDER)
    exchange = _exchange(services.start(FOLDER, prepare_tls(FOLDER)))
    try:
        (FOLDER / "set-up").unlink(missing_ok=True)
        exchange.set_up()
        (FOLDER / "set-up").touch()
        _start_missing(exchange)
    except BaseException:
        services.stop(FOLDER)
        raise


def _start_missing(exchange: Exchange) -> None:
    names = {process.name for process in _running()}
    missing = [node for node in NODES if f"node-{node}" not in names]
    if "hub" not in names:
        say("starting the hub ...")
        exchange.start_hub()
    if missing:
        say(f"starting {len(missing)} nodes ...")
    for node in missing:
        exchange.start_node(node)
    for number, node in enumerate(NODES, start=1):
        exchange.await_nodes([node])
        say(f"  {node} is up, {number} of {len(NODES)}")


def _exchange(found: services.Services) -> Exchange:
    return Exchange(FOLDER, found, NODES, survives=True)


def _running() -> Sequence[processes.Process]:
    return processes.recorded(FOLDER) if FOLDER.exists() else ()


def _pid(names: dict[str, processes.Process], name: str) -> str:
    return str(names[name].pid) if name in names else "- (not running; `make up` starts it)"


def main() -> None:
    """Runs one of the three. Ends with 1 if it cannot, 3 if something does not run, 4 if another is at work."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.up", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    command = parser.parse_args().command
    try:
        with typed.while_read():
            {"up": up, "down": down, "status": status}[command]()
    except AlreadyRunning as error:
        say(f"error ({error.code}): {error}")
        sys.exit(4)
    except NotRunning as error:
        say(f"error ({error.code}): {error}")
        sys.exit(3)
    except LocalError as error:
        say(f"error ({error.code}): {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
