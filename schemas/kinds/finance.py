"""Kinds of the task force on financial and computer crime that follow money: accounts and transactions."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.dates import Moment, PartialDate
from schemas.entities import Facts
from schemas.kinds.common import Body, Evaluation, Line, Text
from schemas.kinds.kind import PERSONAL, Kind
from schemas.kinds.parts import Contact, Party, Reference
from schemas.things import Account, Sum


class Suspicion(StrEnum):
    """What money is suspected to be, or to be for."""

    LAUNDERING = "laundering"
    FRAUD = "fraud"
    TAX = "tax"
    CORRUPTION = "corruption"
    TRAFFICKING = "trafficking"
    DRUGS = "drugs"
    TERRORISM = "terrorism"
    SANCTIONS = "sanctions"
    COMPUTER_CRIME = "computer_crime"
    OTHER = "other"


Suspicions = Annotated[tuple[Suspicion, ...], Field(max_length=10)]


class Wish(StrEnum):
    """What is asked of the recipients about an account."""

    IDENTIFY = "identify"
    STATEMENTS = "statements"
    MONITOR = "monitor"
    FREEZE = "freeze"
    INFORM = "inform"


class AccountNotice(Facts):
    """An account that matters in a case, and what is asked about it. An IBAN has to be valid; else it is a number."""

    account: Account
    wish: Wish
    suspicions: Suspicions = ()
    legal_basis: Line
    holders: Annotated[tuple[Party, ...], Field(max_length=20)] = ()
    since: PartialDate | None = None
    until: PartialDate | None = None
    balance: Sum | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _found_by(self) -> Self:
        iban = self.account.iban
        if iban is None and self.account.number is None:
            raise ValueError("account.iban: is required where there is no number")
        if iban is not None and not iban.verified:
            raise ValueError("account.iban: must be a valid IBAN (ISO 13616); what is none is a `number`")
        return self


class Channel(StrEnum):
    """The way money took."""

    TRANSFER = "transfer"
    CASH = "cash"
    CARD = "card"
    CHEQUE = "cheque"
    MONEY_SERVICE = "money_service"
    HAWALA = "hawala"
    CRYPTO = "crypto"
    TRADE = "trade"
    OTHER = "other"


class Transaction(Body):
    """One payment. Of crypto assets, `hash` is the transaction's, and the accounts' numbers are addresses."""

    value: Sum
    on: Moment
    channel: Channel
    payer: Party | None = None
    payer_account: Account | None = None
    payee: Party | None = None
    payee_account: Account | None = None
    statement: Annotated[Line, Field(description="The text that went with it.")] | None = None
    hash: Line | None = None


class Transactions(Facts):
    """Payments that are suspicious, or that a case needs to know."""

    transactions: Annotated[tuple[Transaction, ...], Field(min_length=1, max_length=500)]
    suspicions: Suspicions = ()
    reported_by: Annotated[Line, Field(description="Who reported it to the financial intelligence unit.")] | None = None
    report: Annotated[Line, Field(description="The number of that report.")] | None = None
    contact: Contact | None = None
    reference: Reference | None = None
    evaluation: Evaluation | None = None
    text: Text | None = None


KINDS: Final = (
    Kind(
        "finance.account",
        1,
        AccountNotice,
        examples=(
            {
                "account": {
                    "type": "account",
                    "id": "account",
                    "iban": "GR16 0110 1250 0000 0001 2300 695",
                    "bank": "Εθνική Τράπεζα",
                    "country": "GR",
                },
                "wish": "identify",
                "suspicions": ["laundering"],
                "legal_basis": "Order of the Tribunal of Bucharest of 2 November 2004",
                "holders": [
                    {"type": "person", "id": "holder", "names": [{"family": "Δημητρίου", "given": "Ιωάννης"}]},
                    {"type": "organisation", "names": ["Zăvoianu Trans SRL"], "form": "SRL", "country": "RO"},
                    {"type": "person", "names": [{"full": "Асен Стоянов"}], "nationalities": ["BG"]},
                ],
                "since": "2003-07",
                "relations": [{"source": "holder", "relation": "holds", "target": "account"}],
            },
        ),
        rule=PERSONAL,
    ),
    Kind(
        "finance.transaction",
        1,
        Transactions,
        examples=(
            {
                "transactions": [
                    {
                        "value": {"amount": "9900", "currency": "EUR"},
                        "on": "2004-10-12",
                        "channel": "money_service",
                        "payer": {
                            "type": "person",
                            "names": [{"full": "Ştefan Zăvoianu"}, {"full": "Στέφανος Ζ.", "use": "alias"}],
                        },
                        "payee": {"type": "person", "names": [{"family": "Петков", "given": "Георги"}]},
                        "payee_account": {"type": "account", "iban": "BG18 RZBB 9155 0123 4567 89", "country": "BG"},
                        "statement": "подарък",
                    }
                ],
                "suspicions": ["trafficking"],
                "report": "STR 2004/1187",
            },
        ),
        rule=PERSONAL,
    ),
)
