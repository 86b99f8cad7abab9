"""Finds RabbitMQ and PostgreSQL on this machine, or installs them: `python -m deploy.local.programs`.

With `--tests` also Go, in which programs that are not ours verify the ledger (tests/crypto/thirdparty), SoftHSM, a
hardware token without hardware, and Chromium, in which the consoles are looked at.
Installing (root on Debian or Ubuntu only) starts no service, makes no database cluster and enables nothing
at boot: what is run is private and comes from `deploy.local.services`.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError, ProgramsMissing
from deploy.local.instance import say

# Not /usr/sbin: Debian's rabbitmq-server there is a wrapper that changes to the user `rabbitmq`.
_RABBITMQ = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
)
_POSTGRES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
_GO_LIBRARIES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb")
_GO_PACKAGES = ("golang-go", "golang-golang-x-mod-dev")
_BROWSER_PACKAGES = ("chromium", "chromium-driver")
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
_ERLANG = ("/usr/bin", "/usr/lib/erlang/bin", "/opt/homebrew/bin", "/usr/local/bin")

# Read by Debian's maintainer scripts while a package is being installed.
_INSTALL_POLICY = {
    Path("/usr/sbin/policy-rc.d"): "#!/bin/sh\nexit 101\n",
    Path("/etc/postgresql-common/createcluster.d/seci.conf"): "create_main_cluster = false\n",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are: RabbitMQ's and PostgreSQL's folders, and Erlang's port mapper."""

    rabbitmq: Path
    postgres: Path
    epmd: Path


def find() -> Programs:
    """Return the newest of each program on this machine. Raises ProgramsMissing with the command to run."""
    rabbitmq = _newest(_RABBITMQ, "rabbitmq-server")
    postgres = _newest(_POSTGRES, "initdb") or _on_path("initdb")
    epmd = _newest(_ERLANG, "epmd") or _on_path("epmd")
    if rabbitmq and postgres and epmd:
        return Programs(rabbitmq, postgres, epmd / "epmd")
    missing = ([] if rabbitmq and epmd else ["RabbitMQ"]) + ([] if postgres else ["PostgreSQL"])
    raise ProgramsMissing(f"{' and '.join(missing)} not found; {_advice()}")


def find_or_install() -> Programs:
    """As `find`, after installing what is missing if this is root on a machine with apt."""
    try:
        return find()
    except ProgramsMissing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
    _install("rabbitmq-server", "postgresql")
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "disable", "--quiet", "rabbitmq-server", "postgresql"], check=False)
    return find()


def find_or_install_for_tests() -> None:
    """Has Go and its checksum database's packages here, SoftHSM, and Chromium with its driver, if that can be done.

    Without them tests are skipped, so their absence is said and is no error.
    """
    missing = _missing_for_tests()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        with contextlib.suppress(ProgramsMissing):
            _install(*missing)
        missing = _missing_for_tests()
    if missing:
        say(f"tests that need them are skipped: install {' and '.join(missing)}")


def _missing_for_tests() -> tuple[str, ...]:
    has_go = shutil.which("go") is not None and _GO_LIBRARIES.is_dir()
    return (
        *(() if has_go else _GO_PACKAGES),
        *(() if SOFTHSM.exists() else ("softhsm2",)),
        *(() if find_browser() else _BROWSER_PACKAGES),
    )


def find_browser() -> tuple[str, str] | None:
    """Chromium and its driver, if both are on this machine."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def main() -> None:
    """See that the programs are there; exit 1 with the command to run if they cannot be had."""
    try:
        find_or_install()
        if "--tests" in sys.argv[1:]:
            find_or_install_for_tests()
    except LocalError as error:
        say(f"error ({error.code}): {error}")
        sys.exit(1)


def _newest(patterns: tuple[str, ...], program: str) -> Path | None:
    root = Path("/")
    folders = [folder for pattern in patterns for folder in root.glob(pattern[1:]) if (folder / program).exists()]
    return max(folders, key=_version, default=None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(folder)))


def _on_path(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found).resolve().parent if found else None


def _advice() -> str:
    if sys.platform == "darwin":
        return "run: brew install rabbitmq postgresql@17"
    if shutil.which("apt-get"):
        return "run: sudo apt-get install --no-install-recommends rabbitmq-server postgresql"
    return "install RabbitMQ 3.10 or newer and PostgreSQL 13 or newer with the system's package tool"


def _install(*packages: str) -> None:
    say(f"installing {' and '.join(packages)} from the system's packages (less than a minute)")
    with _starting_nothing():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", "-q", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise ProgramsMissing(f"`apt-get {arguments[0]}` failed (its output is above); {_advice()}")


@contextlib.contextmanager
def _starting_nothing() -> Iterator[None]:
    """Tell Debian's packages to start no service and make no cluster, for as long as they are installed."""
    made = []
    try:
        for path, text in _INSTALL_POLICY.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                path.chmod(0o755)
                made.append(path)
        yield
    finally:
        for path in made:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
