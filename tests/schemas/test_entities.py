"""Entities: what is stated is kept, ids join them, and a body of many is read in no time that matters."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import ValidationError

from schemas.entities import Facts
from schemas.things import plate_key

MRZ = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
PERSON: dict[str, Any] = {
    "type": "person",
    "id": "p1",
    "names": [
        {"family": "Παπαδόπουλος", "given": "Γιώργος"},
        {"family": "Пападопулос", "given": "Георгиос", "patronymic": "Иванович", "use": "alias"},
        {"full": "Papadopoulos Georgios", "use": "document"},
    ],
    "role": "suspect",
    "sex": "male",
    "born": "1974-08",
    "birth_place": "Θεσσαλονίκη",
    "birth_country": "GR",
    "died": "2004",
    "nationalities": ["GR", "CS"],
    "personal_numbers": [{"country": "RO", "number": "1630615123457"}],
    "documents": [
        {
            "document_type": "passport",
            "number": "L898902C3",
            "country": "GR",
            "issuer": "Nomarchia",
            "issued": "2002-04-15",
            "expires": "2012-04-15",
            "mrz": MRZ,
            "state": "stolen-blank",
        }
    ],
    "occupation": "driver",
    "description": "a scar",
}
ENTITIES: list[dict[str, Any]] = [
    PERSON,
    {
        "type": "organisation",
        "id": "o1",
        "names": ["Транс Дунав ООД", "Trans Dunav"],
        "form": "OOD",
        "country": "BG",
        "registration_number": "121212",
        "vat": "RO 185 472 90",
        "founded": "1999",
        "activity": "haulage",
    },
    {
        "type": "location",
        "id": "l1",
        "location_type": "border-crossing",
        "name": "Giurgiu",
        "street": "Portului 1",
        "postal_code": "080012",
        "place": "Giurgiu",
        "region": "Giurgiu",
        "country": "RO",
        "latitude": 43.89,
        "longitude": 25.96,
    },
    {
        "type": "vehicle",
        "id": "v1",
        "vehicle_type": "lorry",
        "plates": [{"number": "СА 1234 АВ", "country": "BG"}, {"number": "?12"}],
        "vin": "WVWZZZ1JZ3W386752",
        "engine_number": "BKD 123",
        "make": "MAN",
        "model": "TGA",
        "colour": "white",
        "year": 2003,
    },
    {
        "type": "vessel",
        "id": "s1",
        "vessel_type": "ro-ro",
        "name": "ΑΓΙΑ ΜΑΡΙΝΑ",
        "imo": "IMO 9074728",
        "mmsi": "237000000",
        "call_sign": "SVAB",
        "flag": "GR",
    },
    {"type": "container", "id": "c1", "number": "CSQU 305438 3", "size_type": "45G1", "seals": ["TR-778"]},
    {
        "type": "aircraft",
        "id": "a1",
        "registration": "YR-ABC",
        "country": "RO",
        "icao24": "4A0001",
        "make": "Cessna",
        "model": "172",
        "serial_number": "17280001",
        "flight": "RO 261",
    },
    {
        "type": "firearm",
        "id": "f1",
        "firearm_type": "pistol",
        "make": "Zastava",
        "model": "M57",
        "calibre": "7,62x25",
        "serial_number": "123-C",
        "serial_erased": False,
        "markings": ["triangle"],
        "manufactured_in": "CS",
        "year": 1978,
        "imported_to": "BA",
        "quantity": 2,
    },
    {
        "type": "document",
        "id": "d1",
        "document_type": "waybill",
        "number": "CMR 44",
        "country": "TR",
        "holder_name": "Çağrı Işık",
        "state": "forged",
    },
    {
        "type": "drug",
        "id": "h1",
        "substance": "other",
        "name": "acetic anhydride",
        "precursor": True,
        "cas": "108-24-7",
        "quantity": {"amount": "1574", "unit": "t"},
        "purity": "99.5",
        "packing": "drums",
    },
    {
        "type": "goods",
        "id": "g1",
        "name": "cigarettes",
        "brand": "Assos",
        "hs": "240220",
        "quantity": {"amount": "500", "unit": "cartons"},
        "value": {"amount": "12500.50", "currency": "EUR"},
        "origin": "GR",
    },
    {
        "type": "money",
        "id": "m1",
        "value": {"amount": "10000", "currency": "USD"},
        "on": "2004-11-15",
        "counterfeit": True,
        "denominations": "100 x 100",
    },
    {
        "type": "account",
        "id": "k1",
        "iban": "RO49 AAAA 1B31 0075 9384 0000",
        "number": "12",
        "bic": "AGRIFRPP",
        "bank": "Banca",
        "country": "RO",
        "holder": "Ion Popescu",
        "currency": "EUR",
    },
    {
        "type": "communication",
        "id": "t1",
        "phone": "0721 123 456",
        "email": "ana@example.com",
        "ip": "192.0.2.1",
        "imei": "490154203237518",
        "imsi": "429011234567890",
        "url": "http://example.com/",
        "service": "forum",
        "user": "ana",
    },
    {
        "type": "event",
        "id": "e1",
        "event_type": "border-crossing",
        "name": "MIRAGE",
        "began": "2004-11-15T03:00+02:00",
        "ended": "2004-11",
        "country": "CS",
        "place": "Preševo",
    },
]
RELATIONS: list[dict[str, Any]] = [
    {"source": "p1", "relation": "drives", "target": "v1", "since": "2004", "until": "2004-11-15T03:00Z"},
    {
        "source": "v1",
        "relation": "carries",
        "target": "h1",
        "evaluation": {"source": "B", "information": "3"},
        "note": "behind the spare wheel",
    },
]
TYPES = [entity["type"] for entity in ENTITIES]


def read(*entities: dict[str, Any], relations: list[dict[str, Any]] | None = None) -> Facts:
    return Facts.model_validate({"entities": list(entities), "relations": relations or []})


def written(facts: Facts) -> str:
    """As a sender's node writes a body."""
    return facts.model_dump_json(exclude_none=True, exclude_unset=True)


def as_sent(value: Any) -> Any:
    """A written body with every identifier as its sender wrote it, the text alone."""
    if isinstance(value, dict):
        return value["stated"] if "verified" in value else {name: as_sent(part) for name, part in value.items()}
    return [as_sent(part) for part in value] if isinstance(value, list) else value


def test_nothing_of_what_is_stated_is_lost_and_reading_it_again_changes_nothing() -> None:
    text = written(read(*ENTITIES, relations=RELATIONS))
    assert as_sent(json.loads(text)) == {"entities": ENTITIES, "relations": RELATIONS}
    assert written(Facts.model_validate_json(text)) == text


@given(st.data())
def test_any_part_of_an_entity_may_be_missing(data: st.DataObject) -> None:
    entities = []
    for whole in data.draw(st.lists(st.sampled_from(ENTITIES), max_size=4)):
        names = data.draw(st.sets(st.sampled_from(sorted(whole))))
        if whole["type"] == "location" and ("latitude" in names) != ("longitude" in names):
            names |= {"latitude", "longitude"}
        entities.append({name: whole[name] for name in whole if name == "type" or (name in names and name != "id")})
    text = written(read(*entities))
    assert as_sent(json.loads(text))["entities"] == entities
    assert written(Facts.model_validate_json(text)) == text


def test_the_json_schema_takes_both_what_is_sent_and_what_is_written() -> None:
    schema = Facts.model_json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    body = {"entities": ENTITIES, "relations": RELATIONS}
    assert not list(validator.iter_errors(body))
    assert not list(validator.iter_errors(json.loads(written(Facts.model_validate(body)))))
    for wrong in (
        {"type": "person", "nationalities": ["XX"]},
        {"type": "person", "names": [{"use": "alias", "family": None}]},
        {"type": "location", "latitude": 1, "longitude": None},
        {"type": "location", "longitude": 1},
        {"type": "vessel", "imo": {"stated": "9074729", "flag": "GR"}},
    ):
        assert list(validator.iter_errors({"entities": [wrong]}))
        with pytest.raises(ValidationError):
            read(wrong)


# The type, the path in its example, the bad value, and what the error says is wanted.
BAD: list[tuple[str, str, Any, str]] = [
    ("person", "born", "1974-13", "match pattern"),
    ("person", "born", "2003-02-29", "a day that there is"),
    ("person", "born", "12.8.1974", "match pattern"),
    ("person", "born", 1974, "valid string"),
    ("person", "nationalities.0", "XX", "code of a country"),
    ("person", "nationalities.0", "gr", "match pattern"),
    ("person", "names.0", {"use": "alias"}, "family, given or full"),
    ("person", "names.0", {"patronymic": "Иванович"}, "family, given or full"),
    ("person", "role", "boss", "Input should be"),
    ("person", "surname", "X", "Extra inputs"),
    ("person", "id", "P 1", "match pattern"),
    ("location", "latitude", 91, "less than or equal to 90"),
    ("location", "longitude", None, "both latitude and longitude"),
    ("goods", "value.currency", "EURO", "match pattern"),
    ("goods", "value.currency", "XXY", "code of a currency"),
    ("drug", "quantity", {"amount": "3"}, "Field required"),
    ("drug", "quantity.amount", "3,3", "valid decimal"),
    ("drug", "quantity.unit", "stone", "Input should be"),
    ("drug", "purity", 101, "less than or equal to 100"),
    ("event", "began", "2004-11-15T03:00", "match pattern"),
    ("event", "began", "2004-11-31T03:00Z", "a day that there is"),
    ("vessel", "mmsi", "12", "match pattern"),
    ("vehicle", "type", "ufo", "does not match any of the expected tags"),
]


@pytest.mark.parametrize(("kind", "path", "value", "wanted"), BAD)
def test_what_is_wrong_is_named(kind: str, path: str, value: Any, wanted: str) -> None:
    body = deepcopy(ENTITIES[TYPES.index(kind)])
    *way, last = path.split(".")
    place: Any = body
    for name in way:
        place = place[int(name)] if name.isdigit() else place[name]
    place[int(last) if last.isdigit() else last] = value
    with pytest.raises(ValidationError) as refused:
        read(body)
    (error,) = refused.value.errors()
    assert wanted in error["msg"]


@pytest.mark.parametrize(
    ("relation", "place"),
    [
        ({"source": "p1", "target": "x9"}, "relations.1.target"),
        ({"source": "x9", "target": "p1"}, "relations.1.source"),
    ],
)
def test_a_relation_joins_entities_of_its_message(relation: dict[str, str], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        read(*ENTITIES, relations=[RELATIONS[0], {"relation": "uses", **relation}])


def test_an_id_names_one_entity() -> None:
    with pytest.raises(ValidationError, match="more than one"):
        read({"type": "person", "id": "a"}, {"type": "vehicle", "id": "a"})


def test_a_plate_is_compared_in_either_alphabet() -> None:
    assert plate_key("СА 1234 АВ") == plate_key("ca-1234-ab") == "CA1234AB"
    assert plate_key("ΥΝΖ 4321") == plate_key("YNZ-4321") == "YNZ4321"
    assert plate_key("B 12 ABC") != plate_key("B 12 ABD")
