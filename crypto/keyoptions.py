"""What is typed to say with what keys open and where a signing key is made: the same options in all programs."""

from pathlib import Path
from typing import Annotated, Final

import typer

from crypto.hsm import Token
from crypto.keyfile import SecretSource, check_private

PassphraseFile = Annotated[Path | None, typer.Option(help="The keys open with the passphrase in this file.")]
KeyFile = Annotated[Path | None, typer.Option(help="The keys open with this key file; made if it is not there.")]
Credential = Annotated[
    str | None, typer.Option(metavar="NAME", help="The keys open with the passphrase in this systemd credential.")
]
Pkcs11Module = Annotated[
    Path | None, typer.Option("--pkcs11-module", help="Make the signing key in a token: its maker's library.")
]
Pkcs11Token = Annotated[str | None, typer.Option("--pkcs11-token", metavar="LABEL", help="What the token is called.")]
Pkcs11Pin = Annotated[Path | None, typer.Option("--pkcs11-pin-file", help="The token's PIN; it is kept sealed.")]
_ONE: Final = "one of --passphrase-file, --key-file, --credential"


def source_of(passphrase_file: Path | None, key_file: Path | None, credential: str | None) -> SecretSource:
    """Where the secret is to be, with whole paths. Raises BadParameter if several places are named."""
    if sum(given is not None for given in (passphrase_file, key_file, credential)) > 1:
        raise typer.BadParameter(f"the keys open with {_ONE}, and several are named")
    return SecretSource(
        None if passphrase_file is None else passphrase_file.absolute(),
        None if key_file is None else key_file.absolute(),
        credential,
    )


def named_source(passphrase_file: Path | None, key_file: Path | None, credential: str | None) -> SecretSource:
    """As `source_of`. Raises BadParameter if none is named, too."""
    source = source_of(passphrase_file, key_file, credential)
    if source.is_default:
        raise typer.BadParameter(f"no secret is named: say {_ONE}")
    return source


def token_of(module: Path | None, label: str | None, pin_file: Path | None) -> Token | None:
    """The token that was named, or None.

    Raises BadParameter for one that was named by half, or without its PIN, KeyFileRefused for a PIN that others can
    read.
    """
    if module is None and label is None and pin_file is None:
        return None
    if module is None or label is None or pin_file is None:
        raise typer.BadParameter("a token needs all of --pkcs11-module, --pkcs11-token, --pkcs11-pin-file")
    try:
        with pin_file.open() as file:
            check_private(file, pin_file)
            pin = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise typer.BadParameter(f"the PIN file {pin_file} does not read: {why}") from error
    return Token(module.absolute(), label, pin)
