"""`seci-hub login`, `logout`, `whoami`: an operator's session."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from hub import credentials, sessionfile, sessions
from hub import login as logins
from hub.entering import enter, leave
from hub.errors import SettingsInvalid
from hub.login import CertificateProof, PasswordProof, Proof
from hub.roles import Action
from hub.settings import Settings
from hub.setup import ledger_of, operators_secret
from hub.shell import AsJson, Home, acting, answer, limits_of, now_ms, say, with_database
from hub.watch import iso

Name = Annotated[str, typer.Argument(metavar="NAME", help="The operator's name.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(envvar="SECI_HUB_PASSWORD_FILE", help="File with the password, readable by you only; else it asks."),
]
Code = Annotated[str | None, typer.Option(help="The code that the authenticator shows; else it asks.")]


def login(
    name: Name,
    home: Home,
    password_file: PasswordFile = None,
    code: Code = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Instead of password and code: the certificate (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM); asks for the passphrase if sealed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Log in as an operator: with password and code, or with a certificate.

    The session ends by itself after a quarter of an hour without a command, and after eight hours at most. Its token is
    in a file that only you can read, or in the one that SECI_HUB_SESSION names. Exit code 4 if you are not let in.
    """
    settings = Settings.load(home)
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key go together")
    if not credentials.is_name(name):
        raise logins.refused()
    # Before the code is spent, which is good once.
    sessionfile.make_ready(home)
    log = ledger_of(settings)
    if certificate is not None and key is not None:
        proof: Proof = _certificate_proof(settings, certificate, key, password_file)
    else:
        proof = PasswordProof(read_password(password_file, "Password"), code or read_code())
    token, role = enter(settings, log, operators_secret(settings), name, proof)
    file = sessionfile.save(home, token)
    ends = iso(now_ms() + settings.session_s * 1000)
    result = {"ok": True, "operator": name, "role": str(role), "ends": ends, "session": str(file)}
    answer(result, as_json, f"{name}, {role}, until {ends} at the latest")
    say(f"it ends {settings.session_idle_s // 60} minutes after your last command; seci-hub logout ends it at once")


def logout(home: Home, as_json: AsJson = False) -> None:
    """End the session. Does nothing if there is none."""
    settings = Settings.load(home)
    name = leave(settings, ledger_of(settings), operators_secret(settings), sessionfile.read(home))
    sessionfile.forget(home)
    answer({"ok": True, "operator": name}, as_json, f"{name} is logged out" if name else "nobody was logged in")


def whoami(home: Home, as_json: AsJson = False) -> None:
    """Say who is logged in, in which role, and until when. Exit code 4 if nobody is."""
    settings = Settings.load(home)
    actor, log = acting(settings, Action.LOOK), ledger_of(settings)
    if actor.is_setup:
        answer({"operator": None, "setup": True}, as_json, "there are no operators yet; seci-hub operator add --help")
        return

    async def look(connection: AsyncConnection) -> dict[str, Any]:
        token, limits = sessionfile.read(home), limits_of(settings)
        found = await sessions.holder(connection, log, token, limits, operators_secret(settings), now_ms())
        return {"operator": found.name, "role": str(found.role), "begun": iso(found.begun), "ends": iso(found.ends)}

    found = with_database(settings, look)
    answer(found, as_json, f"{found['operator']}, {found['role']}, until {found['ends']}")


def read_password(file: Path | None, words: str, *, twice: bool = False) -> str:
    """From the file, or asked for on the terminal. Raises SettingsInvalid, typer.BadParameter if nobody is there."""
    if file is None:
        _somebody_types("a file with it")
        return str(typer.prompt(words, hide_input=True, confirmation_prompt=twice, err=True))
    try:
        if file.stat().st_mode & 0o077:
            raise SettingsInvalid(f"{file} is readable by others", f"run: chmod 600 {file}")
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file} does not read", "name a text file with the password") from error


def read_code() -> str:
    """The authenticator's, asked for on the terminal. Raises typer.BadParameter if nobody is there."""
    _somebody_types("--code")
    return str(typer.prompt("Code", err=True))


def _somebody_types(else_give: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"it asks for a password or code, and nobody is there to type it: give {else_give}")


def _certificate_proof(
    settings: Settings, certificate: Path, key: Path, password_file: Path | None
) -> CertificateProof:
    found = certificates.read_certificate(_read(certificate))
    trusted = certificates.read_authorities(_read(settings.home / "ca.pem"))
    ca = certificates.issuer_of(found, trusted) or trusted[0]
    pem, password = _read(key), None
    if b"ENCRYPTED" in pem:
        password = read_password(password_file, "Passphrase of the key").encode()
    try:
        loaded = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError) as error:
        raise SettingsInvalid(f"{key} does not open", "name the key (PEM), and give its passphrase") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise SettingsInvalid(f"{key} is no P-256 key", "name the key that the certificate was asked for with")
    return CertificateProof(found, loaded, ca)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{file} does not read: {error.strerror}", "name the file") from error
