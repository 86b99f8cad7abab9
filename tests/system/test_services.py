"""The private services are what they promise: closed, durable, several at once, gone when they should be."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractConnection

from crypto.certificates import Profile
from deploy.local import processes, up
from deploy.local.broker import Broker
from deploy.local.errors import AlreadyRunning, CommandFailed, NotRunning, PortTaken
from deploy.local.instance import REPOSITORY, discard
from deploy.local.processes import Process
from deploy.local.services import Ports, Services, load, start, stop
from tests.conftest import Authority

pytestmark = pytest.mark.system

USER = "node-ro"
QUEUE = "kept"
DEFINITIONS = {
    "vhosts": [{"name": "probe"}],
    "users": [
        {
            "name": USER,
            "password_hash": "",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": [],
        }
    ],
    "permissions": [{"user": USER, "vhost": "probe", "configure": ".*", "write": ".*", "read": ".*"}],
    "queues": [
        {
            "name": QUEUE,
            "vhost": "probe",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-queue-type": "quorum"},
        }
    ],
}
PATIENCE_SECONDS = 60.0
# Through a second interpreter, because the launcher starts one too.
PROBE = """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", "import deploy.local.services"]).returncode)
"""
LAUNCHER = """
import sys, time
from pathlib import Path
from deploy.local.broker import TlsFiles
from deploy.local.services import running
folder, ca, cert, key = map(Path, sys.argv[1:])
with running(folder, TlsFiles(ca, cert, key), erase_after=True):
    print("ready", flush=True)
    time.sleep(3600)
"""


@pytest.fixture(scope="module")
def broker(services: Services) -> Broker:
    """The shared broker, with a user, a vhost and a quorum queue to try it with."""
    services.broker.run_ctl(["import_definitions"], stdin=json.dumps(DEFINITIONS))
    # RabbitMQ 3.10 writes what it knows of a new quorum queue to disk seconds later; a stop in order does at once.
    services.broker.restart()
    return services.broker


async def _connect(broker: Broker, authority: Authority, user: str = USER) -> AbstractConnection:
    url = f"amqps://{broker.host}:{broker.port}/probe?auth=EXTERNAL"
    return await aio_pika.connect(url, ssl_context=authority.client(user), timeout=20)


async def _publish(connection: AbstractConnection, body: bytes, patience: float) -> None:
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, QUEUE, timeout=patience)


async def _take(connection: AbstractConnection) -> bytes:
    channel = await connection.channel()
    queue = await channel.declare_queue(QUEUE, passive=True)
    message = await queue.get(timeout=20)
    await message.ack()
    return message.body


async def test_a_client_certificate_is_the_identity(broker: Broker, authority: Authority) -> None:
    async with await _connect(broker, authority) as connection:
        await _publish(connection, b"hello", patience=20)
        assert await _take(connection) == b"hello"


async def test_a_certificate_without_a_user_is_refused(broker: Broker, authority: Authority) -> None:
    with pytest.raises((aio_pika.exceptions.AMQPError, ConnectionError)):
        await _connect(broker, authority, "node-xx")


async def test_there_is_no_default_user(broker: Broker) -> None:
    users = json.loads(broker.run_ctl(["list_users", "--formatter", "json"]))
    assert [user["user"] for user in users] == [USER]


async def test_roles_need_their_passwords_and_the_hub_is_no_superuser(services: Services) -> None:
    postgres = services.postgres
    assert postgres.run_sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'seci_hub'") == "f"
    with pytest.raises(CommandFailed, match="syntax error"):
        postgres.run_sql("SELEKT 1")
    target = {"host": postgres.host, "port": postgres.port, "database": "seci"}
    session = await asyncpg.connect(**target, user="seci_hub", password=postgres.application_password)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.execute("CREATE TABLE mine (id int)")
    await session.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**target, user="seci_hub", password="guessed")
    assert postgres.application_password not in repr(services)
    assert postgres.application_password not in postgres.log.read_text()


async def test_killed_services_start_again_with_their_data(
    services: Services, broker: Broker, authority: Authority
) -> None:
    async with await _connect(broker, authority) as connection:
        await _publish(connection, b"survives", patience=20)
    services.postgres.run_sql("CREATE TABLE kept AS SELECT 42 AS answer")
    broker.kill()
    services.postgres.kill()
    assert broker.process is None
    assert services.postgres.process is None
    broker.start()
    services.postgres.start()
    async with await _connect(broker, authority) as connection:
        assert await _take(connection) == b"survives"
    assert services.postgres.run_sql("SELECT answer FROM kept") == "42"
    assert b"CREATE TABLE public.kept" in services.postgres.dump()


async def test_a_paused_broker_answers_nobody(broker: Broker, authority: Authority) -> None:
    broker.pause()
    try:
        with pytest.raises((TimeoutError, aio_pika.exceptions.AMQPError, ConnectionError)):
            async with asyncio.timeout(1):
                await _connect(broker, authority)
    finally:
        broker.resume()
    await (await _connect(broker, authority)).close()


async def test_a_memory_alarm_holds_publishers_back(broker: Broker, authority: Authority) -> None:
    async with await _connect(broker, authority) as connection:
        broker.raise_memory_alarm()
        try:
            with pytest.raises(TimeoutError):
                await _publish(connection, b"held back", patience=1)
        finally:
            broker.clear_memory_alarm()
    async with await _connect(broker, authority) as connection:
        await _publish(connection, b"let through", patience=20)


async def test_an_operator_can_close_a_users_connections(broker: Broker, authority: Authority) -> None:
    connection = await _connect(broker, authority)
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    await asyncio.to_thread(broker.close_connections, USER)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await closed.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for services of a test's own, ended and deleted whatever happens."""
    yield tmp_path / "own"
    stop(tmp_path / "own")
    discard(tmp_path / "own")


def test_a_second_set_runs_beside_and_outlives_its_launcher(
    services: Services, folder: Path, authority: Authority
) -> None:
    tls = authority.issue("broker", Profile.BROKER)
    own = start(folder, tls)
    own.postgres.run_sql("CREATE TABLE kept AS SELECT 7 AS answer")
    assert own.broker.run_ctl(["status"])
    assert services.broker.run_ctl(["status"])
    assert own.broker.node != services.broker.node

    with pytest.raises(AlreadyRunning):
        start(folder, tls)
    _stop_from_another_process(folder)
    assert processes.recorded(folder) == ()
    assert services.broker.process is not None

    with pytest.raises(PortTaken, match=str(services.broker.port)):
        start(folder, tls, wanted=Ports(broker=services.broker.port))
    assert processes.recorded(folder) == ()

    again = start(folder, tls)
    assert again == load(folder)
    assert again.postgres.run_sql("SELECT answer FROM kept") == "7"


def test_nothing_is_loaded_where_nothing_was_started(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="make up"):
        load(tmp_path)


def test_what_does_not_run_is_told_with_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "FOLDER", tmp_path / "up")
    for command, ended, told in (("status", 3, "make up"), ("down", None, "nothing runs here")):
        monkeypatch.setattr(sys, "argv", ["up", command])
        if ended is None:
            up.main()
        else:
            with pytest.raises(SystemExit, match=str(ended)):
                up.main()
        assert told in capsys.readouterr().err


def _stop_from_another_process(folder: Path) -> None:
    code = "import sys, pathlib; from deploy.local.services import stop; stop(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, check=True)


def test_services_end_with_a_killed_launcher(tmp_path: Path) -> None:
    _assert_services_end_with_launcher(tmp_path, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever runs the tests is an ordinary user already")
def test_an_ordinary_user_runs_services() -> None:
    folder = Path(tempfile.mkdtemp(prefix="seci-test-"))
    user = pwd.getpwnam("nobody")
    try:
        as_user = _becoming(user)
        _assert_services_end_with_launcher(folder, as_user, lambda path: os.chown(path, user.pw_uid, user.pw_gid))
    finally:
        # Whoever ends the services clears up beside us.
        shutil.rmtree(folder, ignore_errors=True)


def _becoming(user: pwd.struct_passwd) -> list[str]:
    """The start of a command line that runs a Python of this repository as `user`; skips if none can."""
    plain = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # Root's own interpreter may be in a place that only root can read: lend the right to read.
    reading = [*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    for prefix in (plain, reading):
        probe = [*prefix, sys.executable, "-c", PROBE]
        if shutil.which("setpriv") and subprocess.run(probe, cwd=REPOSITORY, capture_output=True).returncode == 0:
            return prefix
    pytest.skip("an ordinary user cannot read this repository or its interpreter")


def _assert_services_end_with_launcher(
    folder: Path, prefix: list[str], give: Callable[[Path], None] = lambda path: None
) -> None:
    authority = Authority.create(folder)
    tls = authority.issue("broker", Profile.BROKER)
    for path in (folder, *folder.iterdir()):
        give(path)
    launcher = subprocess.Popen(
        [
            *prefix,
            sys.executable,
            "-c",
            LAUNCHER,
            str(folder / "own"),
            str(tls.ca),
            str(tls.cert),
            str(tls.key),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    with launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"ready\n"
        services = load(folder / "own")
        assert services.postgres.run_sql("SELECT 1") == "1"
        family = _with_children(processes.recorded(folder / "own"))
        assert len(family) > 3
        launcher.kill()
    _await(lambda: not any(processes.alive(process) for process in family))
    _await(lambda: not services.postgres.data.exists())


def _with_children(parents: tuple[Process, ...]) -> list[Process]:
    return [member for parent in parents for member in (parent, *processes.children(parent))]


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def test_a_process_that_ends_while_it_is_looked_at_is_reaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = processes.spawn(tmp_path, "sleep", ["sleep", "60"], env={}, log=tmp_path / "log")
    known = processes.start_time

    def ending(pid: int) -> str | None:
        os.kill(pid, signal.SIGKILL)
        while (started := known(pid)) is not None:
            time.sleep(0.01)
        return started

    with monkeypatch.context() as patched:
        patched.setattr(processes, "start_time", ending)
        assert not processes.alive(process)
    # PostgreSQL asks so whether the server before it has ended.
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
