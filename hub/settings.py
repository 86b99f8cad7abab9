"""The hub's settings: one folder, its home, read once at the start.

hub.json                 where the database and the broker are
secret.key               opens the keys below, if hub.json names no other key file, passphrase file or credential
monitor.<pid>.json       where a running worker's monitor listens
ledger.lock              how far the ledger was (hub/lockstore.py), or where `lock_store` says
hub.key ca.key           sealed private keys; ca.pem, <user>.pem, <user>.key: certificates and TLS keys
ca.next.key ca.cross.pem of an authority that takes the place of the one in ca.pem (hub/authorities.py)
ledger.mldsa.key         another sealed key: the second one of checkpoints that witnesses are asked to cosign
operators.key            another: of the operators' credentials in the database
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crypto.keyfile import Secret, SecretSource, write_private
from crypto.reseal import finish
from hub.errors import SettingsInvalid
from schemas import registry
from schemas.control import Event
from schemas.wording import wanted

HOME_VARIABLE = "SECI_HUB_HOME"
LOG_ORIGIN = "seci.exchange/ledger"
# What the environment says goes before hub.json.
_VARIABLES: Final = {
    "database_url": "SECI_HUB_DATABASE_URL",
    "tsa_url": "SECI_HUB_TSA_URL",
    "tsa_roots": "SECI_HUB_TSA_ROOTS",
    "tsa_interval_s": "SECI_HUB_TSA_INTERVAL_S",
}


@dataclass(frozen=True, slots=True)
class Tsa:
    """A time-stamping authority: its URL, the file of roots to verify it with, and how often it is asked (s)."""

    url: str
    roots: Path
    interval_s: float


# Rosters say whose keys were whose, erasures what is no more, acts of operators and orders of coordinators who answers
# for what: these stay.
KEPT_EVENTS: Final = frozenset({Event.ROSTER, Event.ERASED, Event.OPERATOR, Event.MEMBERSHIP, Event.HANDOVER})
MESSAGE_EVENTS: Final = frozenset(
    {
        *(Event.ACCEPTED, Event.DELIVERED, Event.DECLINED, Event.REMINDED, Event.ESCALATED, Event.EXPIRED),
        *(Event.RETURNED, Event.HANDED_OVER),
    }
)


class RetentionRule(BaseModel):
    """For how many days entries of an event are kept, if `kind` is given those about messages of this kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    event: Event
    kind: str | None = None
    keep_days: int = Field(ge=1, le=36_500)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.event in KEPT_EVENTS:
            raise ValueError(f"entries `{self.event}` are never erased")
        if self.kind is not None and self.event not in MESSAGE_EVENTS:
            raise ValueError(f"an entry `{self.event}` is of no kind")
        if self.kind is not None and self.kind not in {name for name, _ in registry.KINDS}:
            raise ValueError(f"there is no kind {self.kind!a}")
        return self


class Settings(BaseModel):
    """What stands in hub.json. Sizes in messages, times in seconds; port 0 is any free one.

    `batch_size` is taken at once when one node sends alone, `shared_batch` of each when several do.
    `verifiers` is how many processes judge beside the worker.
    `node_rate` is how many messages per second a node may send in the long run, and at all times while others
    send too; `node_burst` how many at once while it is alone.
    `witness_round_s` is how long a checkpoint is offered to the nodes to be cosigned, before a newer one is.
    `lock_store` is the file with the newest checkpoint, if not in the hub's folder: all workers use the same one.
    `tsa_url` is where timestamps are asked for (RFC 3161 over HTTP) each `tsa_interval_s`, and none if it is not set;
    `tsa_roots` is the file (PEM) of the certificates that the TSA's own must go back to.
    The keys open with the secret in `passphrase_file`, `key_file` or the systemd credential `credential`, or else in
    the home; `resealed` is the mark of the last time that another one was chosen.
    `retention` says what `seci-hub ledger retention` erases; a rule with a kind goes before one without.
    `session_idle_s` is after how long without a command an operator is logged out, `session_s` after how long at all;
    `approval_s` is for how long what takes two can be confirmed and done once it was asked for.
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
    key_file: Path | None = None
    credential: str | None = None
    resealed: str | None = None
    lock_store: Path | None = None
    tsa_url: AnyHttpUrl | None = None
    tsa_roots: Path | None = None
    tsa_interval_s: float = Field(3600.0, ge=1)
    batch_size: int = Field(200, ge=1, le=1000)
    shared_batch: int = Field(32, ge=1, le=1000)
    node_rate: float = Field(300.0, gt=0)
    node_burst: int = Field(20_000, ge=1)
    prefetch: int = Field(1000, ge=1, le=5000)
    verifiers: int = Field(min(3, max(1, (os.cpu_count() or 1) - 1)), ge=0, le=32)
    monitor_port: int = Field(0, ge=0, le=65535)
    canary_s: float = Field(30.0, gt=0, le=600)
    witness_round_s: float = Field(30.0, gt=0, le=3600)
    retention: tuple[RetentionRule, ...] = ()
    session_idle_s: int = Field(900, ge=1, le=3600)
    session_s: int = Field(28_800, ge=1, le=43_200)
    approval_s: int = Field(86_400, ge=1, le=604_800)

    @field_validator("retention")
    @classmethod
    def _says_each_once(cls, rules: tuple[RetentionRule, ...]) -> tuple[RetentionRule, ...]:
        if len({(rule.event, rule.kind) for rule in rules}) != len(rules):
            raise ValueError("two rules are for the same event and kind")
        return rules

    @classmethod
    def load(cls, home: Path) -> Self:
        """The settings in `home`, where the environment does not say otherwise. Raises SettingsInvalid."""
        named = {name: os.environ[variable] for name, variable in _VARIABLES.items() if os.environ.get(variable)}
        settings = cls.stored(home, named)
        if settings.tsa_url is not None and settings.tsa_roots is None:
            raise SettingsInvalid("a TSA is set, and no file of roots to verify it with", "set `tsa_roots` in hub.json")
        return settings

    @classmethod
    def stored(cls, home: Path, named: Mapping[str, str] | None = None) -> Self:
        """The settings in `home`, but for those `named`. Raises SettingsInvalid."""
        file = home / "hub.json"
        try:
            fields = json.loads(file.read_bytes())
            return cls.model_validate({**fields, **(named or {}), "home": home})
        except OSError as error:
            raise SettingsInvalid(
                f"{file} does not read: {error.strerror}",
                "name the hub's home with --home, or run `seci-hub init`",
            ) from error
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, item['loc'])) or 'it'} {wanted(item)}" for item in error.errors())
            raise SettingsInvalid(f"{file} is damaged: {'; '.join(faults)}", "correct the file") from error
        except (ValueError, TypeError) as error:
            raise SettingsInvalid(f"{file} is damaged: {error}", "correct the file") from error

    def save(self) -> None:
        """Writes hub.json, readable by the owner only: it names the database's password."""
        write_private(self.home / "hub.json", (self.model_dump_json(indent=2, exclude_none=True) + "\n").encode())

    @property
    def tsa(self) -> Tsa | None:
        """Whom to ask for timestamps, if anybody."""
        if self.tsa_url is None or self.tsa_roots is None:
            return None
        return Tsa(str(self.tsa_url), self.home / self.tsa_roots, self.tsa_interval_s)

    @property
    def lock_file(self) -> Path:
        """Where the newest checkpoint is kept apart from the database."""
        return self.lock_store or self.home / "ledger.lock"

    def secret(self) -> Secret:
        """What opens the hub's keys, which are in place then. Raises KeyFileRefused, OSError."""
        finish(self.home, self.resealed)
        return self.source.read(self.home)

    @property
    def source(self) -> SecretSource:
        """Where the secret is."""
        return SecretSource(self.passphrase_file, self.key_file, self.credential)

    def resealed_with(self, source: SecretSource, mark: str) -> Self:
        """These settings once all keys are sealed with another secret, under that mark (crypto/reseal.py)."""
        return self.model_copy(update={**asdict(source), "resealed": mark})
