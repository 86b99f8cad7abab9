"""The hub's settings: one folder, its home, read once at the start.

hub.json                 where the database and the broker are
secret.key               opens the keys below (or a passphrase file named in hub.json)
monitor.<pid>.json       where a running worker's monitor listens
ledger.lock              how far the ledger was (hub/lockstore.py), or where `lock_store` says
hub.key ca.key           sealed private keys; ca.pem, <user>.pem, <user>.key: certificates and TLS keys
"""

import json
import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from crypto.keyfile import Secret, write_private
from hub.errors import SettingsInvalid

HOME_VARIABLE = "SECI_HUB_HOME"
LOG_ORIGIN = "seci.exchange/ledger"


class Settings(BaseModel):
    """What stands in hub.json. Sizes in messages, times in seconds; port 0 is any free one.

    `batch_size` is taken at once when one node sends alone, `shared_batch` of each when several do.
    `verifiers` is how many processes judge beside the worker.
    `node_rate` is how many messages per second a node may send in the long run, and at all times while others
    send too; `node_burst` how many at once while it is alone.
    `witness_round_s` is how long a checkpoint is offered to the nodes to be cosigned, before a newer one is.
    `lock_store` is the file with the newest checkpoint, if not in the hub's folder: all workers use the same one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(exclude=True)
    database_url: str
    broker_host: str
    broker_port: int
    vhost: str = "siex"
    broker_ctl: tuple[str, ...] = ("rabbitmqctl",)
    log_origin: str = LOG_ORIGIN
    passphrase_file: Path | None = None
    lock_store: Path | None = None
    batch_size: int = Field(200, ge=1, le=1000)
    shared_batch: int = Field(32, ge=1, le=1000)
    node_rate: float = Field(300.0, gt=0)
    node_burst: int = Field(20_000, ge=1)
    prefetch: int = Field(1000, ge=1, le=5000)
    verifiers: int = Field(min(3, max(1, (os.cpu_count() or 1) - 1)), ge=0, le=32)
    monitor_port: int = Field(0, ge=0, le=65535)
    canary_s: float = Field(30.0, gt=0, le=600)
    witness_round_s: float = Field(30.0, gt=0, le=3600)

    @classmethod
    def load(cls, home: Path) -> Self:
        """The settings in `home`. Raises SettingsInvalid."""
        file = home / "hub.json"
        try:
            fields = json.loads(file.read_bytes())
            stored = cls.model_validate({**fields, "home": home})
        except OSError as error:
            raise SettingsInvalid(
                f"{file} does not read: {error.strerror}",
                "name the hub's home with --home, or run `seci-hub init`",
            ) from error
        except (ValueError, TypeError) as error:
            raise SettingsInvalid(f"{file} is damaged: {error}", "correct the file") from error
        override = os.environ.get("SECI_HUB_DATABASE_URL")
        return stored.model_copy(update={"database_url": override}) if override else stored

    def save(self) -> None:
        """Writes hub.json, readable by the owner only: it names the database's password."""
        write_private(self.home / "hub.json", (self.model_dump_json(indent=2, exclude_none=True) + "\n").encode())

    @property
    def lock_file(self) -> Path:
        """Where the newest checkpoint is kept apart from the database."""
        return self.lock_store or self.home / "ledger.lock"

    def secret(self) -> Secret:
        """What opens the hub's keys."""
        if self.passphrase_file is not None:
            return Secret.from_passphrase_file(self.passphrase_file)
        return Secret.from_key_file(self.home / "secret.key")
