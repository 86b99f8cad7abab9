"""The node's settings: one folder, its home, read once at the start.

node.json                which node, where the broker is, whom to believe (from the welcome file)
secret.key               opens the keys below, if node.json names no other key file, passphrase file or credential
node.key tls.key         sealed private keys; witness.key: another, of cosignatures
tls.pem ca.pem           certificates; enrolment.json: the request
authorities.told         what the hub was told last of ca.pem (nodes/authorities.py)
node.db                  outbox and inbox; api.token: what callers of the API present; api.json: its port
"""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crypto.cosignature import CosignerKey
from crypto.errors import PolicyInvalid
from crypto.keyfile import Secret, SecretSource, write_private
from crypto.keys import VerifyKey
from crypto.note import NoteVerifier
from crypto.policy import Policy
from crypto.reseal import finish
from nodes.errors import NotSetUp, SettingsInvalid
from schemas.header import NodeId

HOME_VARIABLE = "SECI_NODE_HOME"
TOKEN_SIZE = 32


class Settings(BaseModel):
    """What stands in node.json. Times in seconds.

    `log_vkey_mldsa` is there if the hub has a second key: what is witnessed must then be signed with it, too.
    `resend_after` is longer than a full ingress queue takes at the pace that the hub grants each node: what only
    waits for its turn there is not sent again.
    `witness_pause` is the time between two questions for a checkpoint to cosign. `policy` names a file (C2SP
    tlog-policy) that says whose cosignatures make a checkpoint a witnessed one; without it, those of more than half
    of the witnesses in the roster do.
    Keys and certificate are renewed `renew_before_days` days before they end.
    The keys open with the secret in `passphrase_file`, `key_file` or the systemd credential `credential`, or else in
    the home; `resealed` is the mark of the last time that another one was chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(exclude=True)
    node: NodeId
    passphrase_file: Path | None = None
    key_file: Path | None = None
    credential: str | None = None
    resealed: str | None = None
    broker_host: str = ""
    broker_port: int = 0
    vhost: str = "siex"
    hub_key: str = ""
    log_origin: str = ""
    log_vkey: str = ""
    log_vkey_mldsa: str | None = None
    resend_after: float = Field(120.0, gt=0)
    witness_pause: float = Field(10.0, ge=0.1, le=3600)
    policy: Path | None = None
    renew_before_days: float = Field(60.0, gt=0, le=365)

    @classmethod
    def load(cls, home: Path) -> Self:
        """The settings in `home`. Raises NotSetUp, SettingsInvalid."""
        file = home / "node.json"
        try:
            fields = json.loads(file.read_bytes())
            return cls.model_validate({**fields, "home": home})
        except OSError as error:
            raise NotSetUp(
                f"{file} does not read: {error.strerror}",
                "name the folder with --home, or run `seci-node init`",
            ) from error
        except (ValueError, TypeError) as error:
            raise SettingsInvalid(f"{file} is damaged: {_wrong(error)}", "correct the file") from error

    @property
    def resend_after_ms(self) -> int:
        """The first pause before something is sent again for want of a receipt."""
        return int(self.resend_after * 1000)

    @property
    def enrolled(self) -> bool:
        """Whether the welcome file has been taken in."""
        return bool(self.hub_key)

    def save(self) -> None:
        """Writes node.json, whole or not at all."""
        write_private(self.home / "node.json", (self.model_dump_json(indent=2, exclude_none=True) + "\n").encode())

    def token(self) -> str:
        """What callers of the API present. Raises NotSetUp for a token that anybody could guess."""
        file = self.home / "api.token"
        try:
            token = file.read_text().strip()
        except OSError as error:
            raise NotSetUp(f"{file} does not read: {error.strerror}", "run `seci-node init` again") from error
        if len(token) < TOKEN_SIZE:
            raise NotSetUp(f"{file} holds no token", "delete it and run `seci-node init` again")
        return token

    def witness_policy(self) -> Policy | None:
        """Whose cosignatures make a quorum. Raises SettingsInvalid."""
        if self.policy is None:
            return None
        try:
            return Policy.from_bytes(self.policy.read_bytes())
        except (OSError, PolicyInvalid) as error:
            raise SettingsInvalid(
                f"the policy {self.policy} does not read: {error}", "correct `policy` in node.json"
            ) from error

    def secret(self) -> Secret:
        """What opens the node's keys, which are in place then. Raises KeyFileRefused, OSError."""
        finish(self.home, self.resealed)
        return self.source.read(self.home)

    @property
    def source(self) -> SecretSource:
        """Where the secret is."""
        return SecretSource(self.passphrase_file, self.key_file, self.credential)

    def resealed_with(self, source: SecretSource, mark: str) -> Self:
        """These settings once all keys are sealed with another secret, under that mark (crypto/reseal.py)."""
        return self.model_copy(update={**asdict(source), "resealed": mark})

    def hub_verify_key(self) -> VerifyKey:
        """The key that signs rosters."""
        return VerifyKey.from_public_bytes(base64.b64decode(self.hub_key))

    def log_verifier(self) -> NoteVerifier:
        """The key that signs checkpoints."""
        return NoteVerifier.parse(self.log_vkey)

    def log_second(self) -> CosignerKey | None:
        """The key that signs, besides, what witnesses cosign."""
        return None if self.log_vkey_mldsa is None else CosignerKey.parse(self.log_vkey_mldsa)


def _wrong(error: Exception) -> str:
    """What is wrong with node.json, without what stands there."""
    if isinstance(error, ValidationError):
        fields = sorted({str(item["loc"][0]) for item in error.errors(include_input=False) if item["loc"]})
        return f"wrong are {', '.join(fields)}" if fields else "it is no object"
    return str(error) if isinstance(error, json.JSONDecodeError) else "it is no JSON object in UTF-8"
