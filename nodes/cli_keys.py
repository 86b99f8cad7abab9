"""`seci-node reseal`: another secret for the node's keys."""

from crypto.keyfile import make_key_file
from crypto.keyoptions import Credential, KeyFile, PassphraseFile, named_source
from crypto.reseal import prepare
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer, say


def reseal(
    home: Home,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    as_json: AsJson = False,
) -> None:
    """Seal the node's keys with another secret: all of them or none. The keys stay the same.

    The agent may be running: it needs the new secret when it starts next.
    """
    source, settings = named_source(passphrase_file, key_file, credential), Settings.load(home)
    old = settings.secret()
    make_key_file(home, source)
    # The settings decide: until they are saved the old secret opens the keys, and from then on the new one.
    changed = settings.resealed_with(source, prepare(home, old, source.read(home)))
    changed.save()
    changed.secret()
    answer({"node": settings.node, "resealed": True}, as_json, f"the keys of {settings.node} open with the new secret")
    was = f", {home / 'secret.key'}," if settings.source.is_default else ""
    say(f"next: see that the agent starts; then destroy the old secret{was} and its backups")
