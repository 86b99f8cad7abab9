"""Identifiers: each standard's vectors, and what fails a check is kept as stated or refused where a kind demands it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas import identifiers
from schemas.identifiers import Identifier
from schemas.persons import PersonalNumber

# What is stated, and the standard's own form of it.
VALID = {
    # 49 CFR 565.15; outside of North America and China position 9 is no check digit.
    "Vin": {
        "1M8GDM9AXKP042788": "1M8GDM9AXKP042788",
        "1m8gdm9a xkp 042788": "1M8GDM9AXKP042788",
        "11111111111111111": "11111111111111111",
        "WVWZZZ1JZ3W386752": "WVWZZZ1JZ3W386752",
    },
    # IMO resolution A.1117(30)
    "Imo": {"IMO 9074729": "9074729", "9319466": "9319466"},
    # ISO 6346, annex A
    "Container": {
        "CSQU 305438 3": "CSQU3054383",
        "TOLU4734787": "TOLU4734787",
        "CSQU 305438-3": "CSQU3054383",
        "csqu/305438/3": "CSQU3054383",
    },
    # SWIFT, IBAN registry: the region's examples
    "Iban": {
        "AL47 2121 1009 0000 0002 3569 8741": "AL47212110090000000235698741",
        "BA39 1290 0794 0102 8494": "BA391290079401028494",
        "BG80 BNBG 9661 1020 3456 78": "BG80BNBG96611020345678",
        "GR16 0110 1250 0000 0001 2300 695": "GR1601101250000000012300695",
        "HR12 1001 0051 8630 0016 0": "HR1210010051863000160",
        "HU42 1177 3016 1111 1018 0000 0000": "HU42117730161111101800000000",
        "MD24 AG00 0225 1000 1310 4168": "MD24AG000225100013104168",
        "ME25 5050 0001 2345 6789 51": "ME25505000012345678951",
        "MK07 2501 2000 0058 984": "MK07250120000058984",
        "RO49 AAAA 1B31 0075 9384 0000": "RO49AAAA1B31007593840000",
        "RS35 2600 0560 1001 6113 79": "RS35260005601001611379",
        "SI56 2633 0001 2039 086": "SI56263300012039086",
        "TR33 0006 1005 1978 6457 8413 26": "TR330006100519786457841326",
    },
    "Bic": {"AGRIFRPP": "AGRIFRPP", "agri fr pp xxx": "AGRIFRPPXXX"},
    # 3GPP TS 23.003, annex B
    "Imei": {"49-015420-323751-8": "490154203237518"},
    "Imsi": {"429011234567890": "429011234567890"},
    # Toluene, pseudoephedrine, acetic anhydride
    "Cas": {"108-88-3": "108-88-3", "90-82-4": "90-82-4", "108-24-7": "108-24-7"},
    "Vat": {"RO 185 472 90": "RO18547290"},
    "Phone": {
        "+40 21 312 7979": "+40213127979",
        "+359 (2) 981-0000": "+35929810000",
        "\uff0b40213127979": "+40213127979",
        "0040 21 303 6009": "+40213036009",
        "(00359) 2 982 4017": "+35929824017",
    },
    # RFC 5321, and 5891 for the domain
    "Email": {"Ana.B@Example.COM": "Ana.B@example.com", "имя@пример.рф": "имя@пример.рф"},
    # RFC 5952, section 4
    "Ip": {"192.0.2.1": "192.0.2.1", "2001:0DB8:0:0:0:0:0:1": "2001:db8::1"},
}
# What is stated, and what is compared all the same.
INVALID = {
    "Vin": {"1M8GDM9A1KP042788": "1M8GDM9A1KP042788", "WVWZZZ1JZ3W38675": "WVWZZZ1JZ3W38675", "WVWZZZ1JZ3O386752": ...},
    "Imo": {"IMO 9074728": "IMO9074728", "90747": "90747"},
    "Container": {"CSQU3054384": "CSQU3054384", "CSQ305438": "CSQ305438"},
    "Iban": {"RO49 AAAA 1B31 0075 9384 0001": "RO49AAAA1B31007593840001", "XX00 1234": "XX001234"},
    "Bic": {"AGRIFRPPX": "AGRIFRPPX"},
    "Imei": {"490154203237519": "490154203237519"},
    "Imsi": {"4290112": "4290112"},
    "Cas": {"108-88-4": "108884"},
    "Vat": {"RO 185 472 91": "RO18547291"},
    "Phone": {"0721 123 456": "0721123456", "00 1": "001", "+40 1": "+401", "the usual one": "THEUSUALONE"},
    "Email": {"ana@": "ANA@", "ana at example.com": "ANAATEXAMPLECOM"},
    "Ip": {"192.0.2.256": "19202256", "2001:db8::g": "2001DB8G"},
}
STRICT = sorted(name for name in vars(identifiers) if name.startswith("Valid"))


def adapter(name: str) -> TypeAdapter[Identifier]:
    return TypeAdapter(getattr(identifiers, name))


def cases(of: dict[str, dict[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(name, stated, expected) for name, found in of.items() for stated, expected in found.items()]


@pytest.mark.parametrize(("name", "stated", "normalised"), cases(VALID))
def test_what_passes_its_check_is_verified_and_in_its_standard_s_form(name: str, stated: str, normalised: str) -> None:
    assert adapter(name).validate_python(stated) == Identifier(stated=stated, normalised=normalised, verified=True)


@pytest.mark.parametrize(("name", "stated", "normalised"), cases(INVALID))
def test_what_fails_its_check_is_kept_as_stated_and_marked(name: str, stated: str, normalised: Any) -> None:
    found = adapter(name).validate_python(stated)
    assert (found.stated, found.verified) == (stated, False)
    assert found.normalised == (stated if normalised is ... else normalised)


@pytest.mark.parametrize("name", STRICT)
def test_a_kind_may_demand_a_valid_one(name: str) -> None:
    plain = name.removeprefix("Valid")
    for stated in VALID.get(plain, {}):
        assert adapter(name).validate_python(stated).verified
    for stated in (*INVALID.get(plain, {}), "?"):
        with pytest.raises(ValidationError, match="must be a valid") as refused:
            adapter(name).validate_python(stated)
        assert stated == "?" or stated not in refused.value.errors()[0]["msg"]


def test_a_sender_s_own_word_of_a_check_does_not_count() -> None:
    lie = {"stated": "IMO 9074728", "normalised": "9319466", "verified": True}
    assert adapter("Imo").validate_python(lie) == Identifier(stated="IMO 9074728", normalised="IMO9074728")
    with pytest.raises(ValidationError):
        adapter("ValidImo").validate_python(lie)


@pytest.mark.parametrize("wrong", [7, None, "", "9" * 301, {}, {"stated": 7}, {"stated": "9074729", "extra": 1}, ["9"]])
def test_what_is_no_text_at_all_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        adapter("Imo").validate_python(wrong)


@pytest.mark.parametrize("name", [*VALID, "Mrz"])
@given(stated=st.text(min_size=1, max_size=60) | st.from_regex(r"[A-Z0-9٣é .:/+@-]{1,35}", fullmatch=True))
def test_any_text_is_kept_and_reading_it_again_changes_nothing(name: str, stated: str) -> None:
    first = adapter(name).validate_python(stated)
    text = adapter(name).dump_json(first)
    again = adapter(name).validate_json(text)
    assert first.stated == stated
    assert again == first
    assert adapter(name).dump_json(again) == text
    assert json.loads(text) == {"stated": stated, "normalised": first.normalised, "verified": first.verified}


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("BG", "752316 926 3"),
        ("CS", "0101006500006"),
        ("GR", "01013099997"),
        ("HR", "33392005961"),
        ("HR", "0101006500006"),
        ("MD", "1008600038413"),
        ("RO", "1630615123457"),
        ("SI", "0101006500006"),
        ("TR", "17291716060"),
    ],
)
def test_a_personal_number_has_its_country_s_check(country: str, number: str) -> None:
    assert PersonalNumber.model_validate({"country": country, "number": number}).number.verified
    other = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not PersonalNumber.model_validate({"country": country, "number": other}).number.verified
    assert not PersonalNumber.model_validate({"number": number}).number.verified
    assert not PersonalNumber.model_validate({"country": "AL", "number": number}).number.verified


def test_what_grows_under_normalisation_is_kept_and_not_checked() -> None:
    asked: list[str] = []

    def check(text: str) -> str:
        asked.append(text)
        return text

    # One letter of these is eighteen by NFKC: a library would go through 5400.
    found = identifiers.identify(check, "\ufdfa" * 300)
    assert (found["stated"], found["verified"], asked) == ("\ufdfa" * 300, False, [])
    assert identifiers.identify(check, "4" * 300)["verified"]


REPOSITORY = Path(__file__).parents[2]
_IMPORTED = "import sys, schemas.entities, schemas.comparison, schemas.tally; print(*sorted(sys.modules))"


def test_the_large_libraries_are_read_at_first_use_only() -> None:
    ran = subprocess.run([sys.executable, "-c", _IMPORTED], cwd=REPOSITORY, capture_output=True, check=True, text=True)
    loaded = {name.split(".")[0] for name in ran.stdout.split()}
    assert "schemas" in loaded
    assert not loaded & {"anyascii", "email_validator", "phonenumbers", "pint", "pycountry", "stdnum", "vininfo"}
