"""Identifiers of things, persons and accounts, each checked as its standard says, by libraries.

An `Identifier` that fails its check is kept as stated and marked unverified: half a number may be all there is. Where
a kind demands a valid one, it has the type whose name begins with `Valid`. What a sender writes is the text alone or
an object with `stated`; the node works out the rest anew, whatever the object says of it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas import mrz

# The identifier in the form of its standard. Raises ValueError if it fails the check.
Check = Callable[[str], str]

_SEPARATORS: Final = re.compile(r"[\s./:-]+")
_LONGEST: Final = 300
Words = Annotated[str, Field(min_length=1, max_length=_LONGEST, description="as written on the thing, or as heard")]


class Identifier(BaseModel):
    """An identifier as it was stated, and what its standard's check made of it.

    `normalised` is for comparing: the standard's own form, or, where the check failed, the text in capitals without
    spaces, dots, slashes, colons and hyphens. `verified` says that the check held, and nothing of who has the thing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    stated: Words
    normalised: Annotated[str, Field(description="for comparing; worked out by the node")] = ""
    verified: Annotated[bool, Field(description="whether the check held; worked out by the node")] = False


def identify(check: Check, value: Any) -> Any:
    """An Identifier's fields, from a text, an object with `stated`, or an Identifier; what is wrong is left so."""
    if isinstance(value, Identifier):
        value = value.model_dump()
    fields = {"stated": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not isinstance(fields.get("stated"), str):
        return fields
    stated = fields["stated"]
    if len(stated) > _LONGEST:
        return fields
    text = unicodedata.normalize("NFKC", stated)
    try:
        # One character may become eighteen, and a body have thousands of them for the libraries to go through.
        if len(text) <= _LONGEST:
            return {**fields, "normalised": check(text), "verified": True}
    except ValueError:
        pass
    return {**fields, "normalised": _SEPARATORS.sub("", text).upper(), "verified": False}


def demand(name: str, identifier: Identifier) -> Identifier:
    """The identifier, if it is verified. Raises ValueError, saying what is wanted."""
    if not identifier.verified:
        raise ValueError(f"must be a valid {name}")
    return identifier


def _by_stdnum(module: str, text: str) -> str:
    # At first use: the library opens the tables of all its formats.
    return str(import_module(f"stdnum.{module}").validate(text))


def _vin(text: str) -> str:
    """ISO 3779. Its check digit is the law in North America and China (49 CFR 565, GB 16735) and a habit elsewhere."""
    from vininfo import ValidationError, Vin

    try:
        vin = Vin(_SEPARATORS.sub("", text))
    except ValidationError as error:
        raise ValueError("not 17 of the letters and digits that there are") from error
    if (vin.region == "North America" or vin.country == "China") and not vin.verify_checksum():
        raise ValueError("the check digit is wrong")
    return str(vin.num)


def _container(text: str) -> str:
    """ISO 6346; the check digit is painted apart, and written so: CSQU 305438-3."""
    return _by_stdnum("iso6346", _SEPARATORS.sub("", text))


def _phone(text: str) -> str:
    """E.164, of a number in international form. Raises ValueError also for one that no country has given out."""
    import phonenumbers

    # What all of Europe dials before a country's code (ITU-T E.164); nothing national begins so.
    international = re.sub(r"^[\s(]*00", "+", text)
    try:
        number = phonenumbers.parse(international, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError("no international number") from error
    if not phonenumbers.is_valid_number(number):
        raise ValueError("no country has such a number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _email(text: str) -> str:
    """RFC 5321 and 6531. Whether there is such a domain is not asked: the node may be off every network."""
    from email_validator import validate_email

    return validate_email(text, check_deliverability=False).normalized


def _ip(text: str) -> str:
    """IPv4 or IPv6 address, in the form of RFC 5952."""
    from ipaddress import ip_address

    return str(ip_address(text.strip()))


# Of the region's personal numbers, what `stdnum` checks, the likeliest first. The successors of Yugoslavia kept its
# number (JMBG), which Slovenia calls EMSO; Croatia has had another since 2009.
_PERSONAL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "BG": ("bg.egn", "bg.pnf"),
        "GR": ("gr.amka",),
        "HR": ("hr.oib", "si.emso"),
        "MD": ("md.idno",),
        "RO": ("ro.cnp",),
        "TR": ("tr.tckimlik",),
        **dict.fromkeys(("BA", "CS", "ME", "MK", "RS", "SI"), ("si.emso",)),
    }
)


def personal_number(country: str | None, text: str) -> str:
    """A national personal number. Raises ValueError if it fails its country's checks, or none is known."""
    for module in _PERSONAL.get(country or "", ()):
        try:
            return _by_stdnum(module, text)
        except ValueError:
            continue
    raise ValueError("fails every check that is known for this country")


def checked(check: Check) -> BeforeValidator:
    """What makes a field an Identifier under this check."""
    return BeforeValidator(partial(identify, check), json_schema_input_type=Words | Identifier)


def demanded(name: str) -> AfterValidator:
    """What makes a field refuse an Identifier that fails its check; `name` says what is wanted."""
    return AfterValidator(partial(demand, name))


Vin = Annotated[Identifier, checked(_vin), Field(description="vehicle identification number, ISO 3779")]
Imo = Annotated[Identifier, checked(partial(_by_stdnum, "imo")), Field(description="IMO ship identification number")]
Container = Annotated[Identifier, checked(_container), Field(description="ISO 6346 number")]
Iban = Annotated[Identifier, checked(partial(_by_stdnum, "iban")), Field(description="IBAN, ISO 13616")]
Bic = Annotated[Identifier, checked(partial(_by_stdnum, "bic")), Field(description="BIC, ISO 9362")]
Imei = Annotated[Identifier, checked(partial(_by_stdnum, "imei")), Field(description="IMEI, 3GPP TS 23.003")]
Imsi = Annotated[Identifier, checked(partial(_by_stdnum, "imsi")), Field(description="IMSI, ITU-T E.212")]
Cas = Annotated[Identifier, checked(partial(_by_stdnum, "casrn")), Field(description="CAS number of a substance")]
Vat = Annotated[Identifier, checked(partial(_by_stdnum, "vatin")), Field(description="VAT number with its country")]
Phone = Annotated[Identifier, checked(_phone), Field(description="telephone number, ITU-T E.164, as +40...")]
Email = Annotated[Identifier, checked(_email), Field(description="e-mail address")]
Ip = Annotated[Identifier, checked(_ip), Field(description="IPv4 or IPv6 address")]
Mrz = Annotated[Identifier, checked(mrz.validate), Field(description="machine readable zone, ICAO Doc 9303, in lines")]

ValidVin = Annotated[Vin, demanded("vehicle identification number (17 characters, ISO 3779)")]
ValidImo = Annotated[Imo, demanded("IMO number (7 digits, the last a check digit)")]
ValidContainer = Annotated[Container, demanded("container number (ISO 6346)")]
ValidIban = Annotated[Iban, demanded("IBAN (ISO 13616)")]
ValidBic = Annotated[Bic, demanded("BIC (ISO 9362)")]
ValidImei = Annotated[Imei, demanded("IMEI (15 digits, the last a check digit)")]
ValidPhone = Annotated[Phone, demanded("telephone number in international form (E.164)")]
ValidEmail = Annotated[Email, demanded("e-mail address")]
ValidIp = Annotated[Ip, demanded("IP address")]
ValidMrz = Annotated[Mrz, demanded("machine readable zone (ICAO Doc 9303)")]
