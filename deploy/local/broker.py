"""A private RabbitMQ: TLS 1.3 with client certificates only, loopback only, one folder.

It shares nothing with a RabbitMQ that the machine runs: own node name, ports, port mapper, cookie,
configuration, data and logs. It starts without users; the hub's provisioner makes them.
"""

import contextlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import processes
from deploy.local.errors import CommandFailed, StartFailed
from deploy.local.ports import LOOPBACK, choose, free_ports
from deploy.local.processes import Process
from deploy.local.programs import Programs

START_SECONDS = 90.0
COMMAND_SECONDS = 60.0
MEMORY_LIMIT = "2GB"

_CONFIG = """\
listeners.tcp = none
listeners.ssl.default = {loopback}:{port}
ssl_options.cacertfile = {tls.ca}
ssl_options.certfile = {tls.cert}
ssl_options.keyfile = {tls.key}
ssl_options.versions.1 = tlsv1.3
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.depth = 2
auth_mechanisms.1 = EXTERNAL
ssl_cert_login_from = common_name
max_message_size = 2097152
channel_max = 1024
heartbeat = 15
log.file.level = notice
log.console = false
load_definitions = {definitions}
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = {memory}
raft.wal_max_size_bytes = 64000000
"""
_CLUSTER = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_partition_handling = pause_minority
"""
# Definitions at first boot, even empty ones, keep RabbitMQ from making its default user `guest`.
_NO_USERS = '{"users": [], "vhosts": []}\n'
_ERLANG_ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
# How soon a node of a cluster that says nothing counts as gone, in seconds.
_TICKTIME = " -kernel net_ticktime 10"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The broker's PEM files: the authority for client certificates, its certificate, its private key.

    The key opens with `password`, if it is closed.
    """

    ca: Path
    cert: Path
    key: Path
    password: str | None = field(default=None, repr=False)

    def resolved(self) -> "TlsFiles":
        """The same files by absolute paths, as RabbitMQ needs them."""
        return TlsFiles(self.ca.resolve(), self.cert.resolve(), self.key.resolve(), self.password)


@dataclass(frozen=True, slots=True)
class Broker:
    """A private broker: where it is and how to command it. It keeps its ports over restarts.

    Clients connect to `host` and `port` with TLS; the certificate must be valid for `host`. `peers` are the
    names of all nodes of its cluster, whose port mapper is not its own; a broker that stands alone has none.
    """

    folder: Path
    binaries: Path
    epmd: Path
    node: str
    port: int
    dist_port: int
    epmd_port: int
    tls: TlsFiles
    survives: bool = False
    host: str = "localhost"
    peers: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The broker's own folder: configuration, cookie, data, logs."""
        return self.folder / "broker"

    @property
    def ctl(self) -> list[str]:
        """The start of a rabbitmqctl command line for this broker; run it with `env`."""
        return [str(self.binaries / "rabbitmqctl"), "--node", self.node]

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for this broker's programs. Nothing of the caller's RABBITMQ_* goes in."""
        return {
            "PATH": f"{self.epmd.parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.home / "data"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.home / "none.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "none.sh"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ON_LOOPBACK + (_TICKTIME if self.peers else ""),
            "RABBITMQ_CTL_ERL_ARGS": _ERLANG_ON_LOOPBACK,
        }

    @property
    def process(self) -> Process | None:
        """The running broker's process, None if it is down."""
        return next((p for p in processes.recorded(self.folder) if p.name == "broker"), None)

    def run_ctl(self, arguments: Sequence[str], stdin: str | None = None) -> str:
        """Run rabbitmqctl and return what it prints. Raises CommandFailed."""
        argv = [*self.ctl, "--quiet", *arguments]
        try:
            done = subprocess.run(
                argv, env=self.env, input=stdin or "", capture_output=True, text=True, timeout=COMMAND_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"rabbitmqctl {arguments[0]}: no answer in {COMMAND_SECONDS:.0f} s") from None
        if done.returncode:
            raise CommandFailed(f"rabbitmqctl {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def start(self) -> None:
        """Start on the ports and data of before and wait until clients can connect. Raises StartFailed."""
        with _readiness_socket() as (path, ready):
            if not self.peers:
                self.start_epmd(self.folder)
            process = processes.spawn(
                self.folder,
                "broker",
                [str(self.binaries / "rabbitmq-server")],
                # The first makes the start script become the server, so that the pid is the server's.
                env=self.env | {"RUNNING_UNDER_SYSTEMD": "true", "NOTIFY_SOCKET": str(path)},
                log=self.home / "log" / "start.log",
                survives=self.survives,
            )
            _await_ready(ready, process, self.home / "log")

    def stop(self) -> None:
        """End the broker in order; it can be started again."""
        processes.end(self.folder, self._processes())

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would."""
        processes.kill(self.folder, self._processes())

    def restart(self) -> None:
        """Stop and start again, on the same ports and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker: connections stay open and nothing answers, as on a dead line."""
        if process := self.process:
            processes.pause(process)

    def resume(self) -> None:
        """Let a paused broker go on."""
        if process := self.process:
            processes.resume(process)

    def raise_memory_alarm(self) -> None:
        """Make the broker think that it has no memory left: it stops reading from publishers."""
        self.run_ctl(["set_vm_memory_high_watermark", "absolute", "1"])

    def clear_memory_alarm(self) -> None:
        """Give the broker its memory limit back."""
        self.run_ctl(["set_vm_memory_high_watermark", "absolute", MEMORY_LIMIT])

    def close_connections(self, user: str, reason: str = "closed by a test") -> None:
        """Close all connections of a user (a certificate's common name), as an operator would."""
        self.run_ctl(["close_all_user_connections", user, reason])

    def _processes(self) -> list[Process]:
        # epmd last: the server tells it that it goes.
        found = {process.name: process for process in processes.recorded(self.folder)}
        return [found[name] for name in ("broker", "epmd") if name in found]

    def start_epmd(self, folder: Path) -> None:
        """Start the port mapper, by which nodes and rabbitmqctl find each other, unless it runs in `folder`."""
        if any(process.name == "epmd" for process in processes.recorded(folder)):
            return
        processes.spawn(
            folder,
            "epmd",
            [str(self.epmd), "-address", LOOPBACK, "-port", str(self.epmd_port)],
            env=self.env,
            log=self.home / "log" / "epmd.log",
            survives=self.survives,
        )


def create(
    folder: Path, programs: Programs, tls: TlsFiles, *, port: int | None = None, survives: bool = False
) -> Broker:
    """Prepare a new broker in `folder`; `port` None takes any free one. Raises PortTaken."""
    dist_port, epmd_port = free_ports(2)
    broker = Broker(
        folder=folder.resolve(),
        binaries=programs.rabbitmq,
        epmd=programs.epmd,
        node=f"seci-{secrets.token_hex(4)}@localhost",
        port=choose(port, "RabbitMQ"),
        dist_port=dist_port,
        epmd_port=epmd_port,
        tls=tls.resolved(),
        survives=survives,
    )
    prepare(broker, secrets.token_hex(32))
    return broker


def prepare(broker: Broker, secret: str) -> None:
    """Make the broker's folder, empty but for its configuration and cookie: nodes with one secret are a cluster."""
    # The data of a former node of another name would be of no use to this one.
    shutil.rmtree(broker.home, ignore_errors=True)
    broker.home.mkdir(mode=0o700)
    (broker.home / "log").mkdir()
    cookie = broker.home / ".erlang.cookie"
    cookie.touch(mode=0o600)
    cookie.write_text(secret)
    cookie.chmod(0o400)
    configure(broker)


def configure(broker: Broker) -> None:
    """Write the broker's configuration; it is read at the next start."""
    definitions = broker.home / "definitions.json"
    definitions.write_text(_NO_USERS)
    (broker.home / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
    text = _CONFIG.format(
        loopback=LOOPBACK, port=broker.port, tls=broker.tls, definitions=definitions, memory=MEMORY_LIMIT
    )
    if broker.tls.password is not None:
        # For development alone: in earnest it is in no file on a disk (docs/operations.md).
        text += f"ssl_options.password = {broker.tls.password}\n"
    if broker.peers:
        nodes = enumerate(broker.peers, start=1)
        text += _CLUSTER + "".join(f"cluster_formation.classic_config.nodes.{n} = {name}\n" for n, name in nodes)
    settings = broker.home / "rabbitmq.conf"
    settings.touch(mode=0o600)
    settings.write_text(text)


@contextlib.contextmanager
def _readiness_socket() -> Iterator[tuple[Path, socket.socket]]:
    """A socket for the server's readiness message (sd_notify(3)); its path has to be a short one."""
    with (
        tempfile.TemporaryDirectory(prefix="seci-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        path = Path(folder) / "ready"
        ready.bind(str(path))
        ready.settimeout(0.1)
        yield path, ready


def _await_ready(ready: socket.socket, process: Process, logs: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in ready.recv(4096):
                return
        if not processes.alive(process):
            raise StartFailed(
                f"RabbitMQ ended while starting; logs in {logs}\n{processes.last_lines(logs / 'start.log')}"
            )
    raise StartFailed(f"RabbitMQ was not ready within {START_SECONDS:.0f} s; logs in {logs}")
