"""`seci-hub reseal`: another secret for the hub's keys. `seci-hub broker-key`: what the broker's key opens with.

`seci-hub renew`: other TLS keys and certificates.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from crypto.keyfile import make_key_file, write_private
from crypto.keyoptions import Credential, KeyFile, PassphraseFile, named_source
from crypto.reseal import check_another, prepare
from hub.errors import FileUnwritable, SettingsInvalid
from hub.locked import hold_keys
from hub.settings import Settings
from hub.setup import BROKER, broker_password
from hub.setup import renew as renew_certificates
from hub.shell import AsJson, Home, answer, say


def reseal(
    context: typer.Context,
    home: Home,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    as_json: AsJson = False,
) -> None:
    """Seal the hub's keys with another secret: all of them or none. The keys stay the same.

    Workers may be running: each needs the new secret when it starts next, or renews a node's certificate.
    """
    hold_keys(context, home)
    source, settings = named_source(passphrase_file, key_file, credential), Settings.stored(home)
    check_another(home, settings.source, source)
    old = settings.secret()
    make_key_file(home, source)
    # The settings decide: until they are saved the old secret opens the keys, and from then on the new one.
    changed = settings.resealed_with(source, prepare(home, old, source.read(home)))
    changed.save()
    changed.secret()
    answer({"home": str(home), "resealed": True}, as_json, "the hub's keys open with the new secret")
    was = f", {home / 'secret.key'}," if settings.source.is_default else ""
    say(f"next: see that a worker starts; then destroy the old secret{was} and its backups")


def broker_key(
    home: Home,
    out: Annotated[Path, typer.Option(help="Where RabbitMQ reads it; in memory is best, under /run.")],
    as_json: AsJson = False,
) -> None:
    """Write the lines of RabbitMQ's configuration that open its key. To be done before it starts, each time."""
    settings = Settings.load(home)
    password = broker_password(home, settings.secret())
    if password is None:
        raise SettingsInvalid("the broker's key is in clear and needs no password", "make new ones: delete broker.pem")
    try:
        write_private(out, f"ssl_options.password = {password}\n".encode())
    except OSError as error:
        raise FileUnwritable(f"{out} cannot be written: {error.strerror}", "name another file with --out") from error
    answer({"file": str(out)}, as_json, f"what opens the broker's key is in {out}")


def renew(
    context: typer.Context,
    home: Home,
    within: Annotated[int, typer.Option(min=0, max=800, help="Renew what ends within so many days.")] = 60,
    as_json: AsJson = False,
) -> None:
    """New TLS keys and certificates for the hub's users and the broker, where they end soon. Safe to repeat."""
    hold_keys(context, home)
    settings = Settings.load(home)
    before_ms = time.time_ns() // 1_000_000 + within * 86_400_000
    found = renew_certificates(home, settings.secret(), before_ms)
    text = f"renewed: {', '.join(found)}" if found else f"nothing ends within {within} days"
    answer({"renewed": found}, as_json, text)
    if BROKER in found:
        say("next: give RabbitMQ the new broker.pem and broker.key, write `seci-hub broker-key` again, and restart it")
    if set(found) - {BROKER}:
        say("the workers that run show their new certificates from the next connection on")
