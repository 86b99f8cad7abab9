"""A private PostgreSQL: loopback only, passwords only (SCRAM), one folder, data checksums on.

PostgreSQL does not run as root, so root's runs as the account `postgres` (else `nobody`), and its data goes
to a fresh folder under /var/tmp if that account cannot reach the one asked for.
"""

import os
import pwd
import secrets
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import processes
from deploy.local.errors import CommandFailed, StartFailed
from deploy.local.ports import LOOPBACK, choose
from deploy.local.processes import Process
from deploy.local.programs import Programs

OWNER = "seci_admin"
APPLICATION = "seci_hub"
DATABASE = "seci"
START_SECONDS = 60.0
_START_ATTEMPTS = 3

# Durability is PostgreSQL's own: a measurement here means something. Statements never go to the log.
_CONFIG = """\
listen_addresses = '{loopback}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 100
logging_collector = off
log_min_messages = warning
log_statement = 'none'
log_min_error_statement = panic
"""
_ACCESS = "host all all {loopback}/32 scram-sha-256\n"
_ROLES = """\
CREATE ROLE {application} LOGIN PASSWORD '{password}';
CREATE DATABASE {database} OWNER {owner};
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {application};
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A private database server. It keeps its port, data and passwords over restarts.

    `data` is where the data really is; `account` is whom it runs as, None for the caller.
    """

    folder: Path
    binaries: Path
    data: Path
    account: str | None
    port: int
    owner_password: str = field(repr=False)
    application_password: str = field(repr=False)
    survives: bool = False
    host: str = LOOPBACK

    @property
    def owner_url(self) -> str:
        """SQLAlchemy URL (asyncpg) of the owner and superuser, for migrations. Holds the password."""
        return f"postgresql+asyncpg://{OWNER}:{self.owner_password}@{self.host}:{self.port}/{DATABASE}"

    @property
    def application_url(self) -> str:
        """SQLAlchemy URL (asyncpg) of the hub's own role, which owns nothing. Holds the password."""
        return f"postgresql+asyncpg://{APPLICATION}:{self.application_password}@{self.host}:{self.port}/{DATABASE}"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "postgres" / "postgres.log"

    @property
    def process(self) -> Process | None:
        """The running server's process, None if it is down."""
        return next((p for p in processes.recorded(self.folder) if p.name == "postgres"), None)

    def run_sql(self, statements: str, database: str = DATABASE) -> str:
        """Run SQL as the owner, through psql; rows come back `|` between columns. Raises CommandFailed."""
        rows = self._run("psql", ["-XqAt", "-v", "ON_ERROR_STOP=1"], database, statements)
        return rows.decode().strip()

    def dump(self) -> bytes:
        """The database as SQL (pg_dump), binary columns in hexadecimal. Raises CommandFailed."""
        return self._run("pg_dump", [], DATABASE)

    def start(self) -> None:
        """Start on the port and data of before and wait until clients can connect. Raises StartFailed."""
        for attempt in range(_START_ATTEMPTS):
            if self._start_once():
                return
            # After a SIGKILL the last of the old server's processes may still be on their way out.
            time.sleep(0.3 * (attempt + 1))
        raise StartFailed(f"PostgreSQL ended while starting; log in {self.log}\n{processes.last_lines(self.log)}")

    def stop(self) -> None:
        """End the server in order, closing its connections; it can be started again."""
        if process := self.process:
            processes.end(self.folder, [process])

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        if process := self.process:
            processes.kill(self.folder, [process])

    def restart(self) -> None:
        """Stop and start again, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server with its sessions: connections stay open and nothing answers."""
        if process := self.process:
            processes.pause(process)

    def resume(self) -> None:
        """Let a paused server go on."""
        if process := self.process:
            processes.resume(process)

    def _run(self, program: str, arguments: list[str], database: str, stdin: str = "") -> bytes:
        # By environment: arguments, and so passwords in them, are there for every user to read.
        target = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": OWNER, "PGDATABASE": database}
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            env=_environment(self.folder) | target | {"PGPASSWORD": self.owner_password},
            input=stdin.encode(),
            capture_output=True,
        )
        if done.returncode:
            raise CommandFailed(f"{program}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _start_once(self) -> bool:
        process = processes.spawn(
            self.folder,
            "postgres",
            [str(self.binaries / "postgres"), "-D", str(self.data)],
            env=_environment(self.data),
            log=self.log,
            cwd=self.data,
            account=self.account,
            stop_signal=signal.SIGINT,
            survives=self.survives,
        )
        until = time.monotonic() + START_SECONDS
        while processes.alive(process):
            if _is_ready(self.data, process.pid):
                return True
            if time.monotonic() > until:
                raise StartFailed(f"PostgreSQL was not ready within {START_SECONDS:.0f} s; log in {self.log}")
            time.sleep(0.05)
        return False


def create(folder: Path, programs: Programs, *, port: int | None = None, survives: bool = False) -> Postgres:
    """Make a new, empty server in `folder` (`create_roles` adds the rest). Raises PortTaken."""
    account = _account()
    postgres = Postgres(
        folder=folder.resolve(),
        binaries=programs.postgres,
        data=_data_folder(folder.resolve() / "postgres" / "data", account),
        account=account,
        port=choose(port, "PostgreSQL"),
        owner_password=secrets.token_urlsafe(24),
        application_password=secrets.token_urlsafe(24),
        survives=survives,
    )
    _initialise(postgres)
    configure(postgres)
    return postgres


def configure(postgres: Postgres) -> None:
    """Write the server's configuration; it is read at the next start."""
    (postgres.data / "postgresql.conf").write_text(_CONFIG.format(loopback=LOOPBACK, port=postgres.port))
    (postgres.data / "pg_hba.conf").write_text(_ACCESS.format(loopback=LOOPBACK))


def create_roles(postgres: Postgres) -> None:
    """Make the hub's role and the database on a running new server."""
    password = postgres.application_password
    roles = _ROLES.format(application=APPLICATION, password=password, database=DATABASE, owner=OWNER)
    postgres.run_sql(roles, database="postgres")


def _initialise(postgres: Postgres) -> None:
    identity = processes.identity(postgres.account)
    with tempfile.NamedTemporaryFile("w", prefix="seci-", dir=postgres.data.parent) as password:
        password.write(postgres.owner_password)
        password.flush()
        if identity.uid is not None:
            os.fchown(password.fileno(), identity.uid, -1)
        done = subprocess.run(
            [
                str(postgres.binaries / "initdb"),
                *("-D", str(postgres.data), "-U", OWNER, "--pwfile", password.name, "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"),
            ],
            env=_environment(postgres.data),
            cwd=postgres.data,
            capture_output=True,
            text=True,
            user=identity.uid,
            group=identity.gid,
            extra_groups=identity.groups,
        )
    if done.returncode:
        raise StartFailed(f"initdb failed: {done.stderr.strip()}")


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _data_folder(wanted: Path, account: str | None) -> Path:
    """Make the empty folder for the data; where `wanted` cannot be reached it becomes a link to another."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if account is None:
        wanted.mkdir(mode=0o700)
        return wanted
    if all(parent.stat().st_mode & 0o001 for parent in wanted.parents):
        wanted.mkdir(mode=0o700)
        data = wanted
    else:
        data = Path(tempfile.mkdtemp(prefix="seci-postgres-", dir="/var/tmp"))
        wanted.symlink_to(data)
    identity = processes.identity(account)
    os.chown(data, identity.uid or 0, identity.gid or 0)
    return data


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}


def _is_ready(data: Path, pid: int) -> bool:
    """Whether postmaster.pid is of this server and says that it is ready (its first and eighth line)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
