"""All kinds: their examples, random bodies made from their schemas, and which task force uses which."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from schemas.codes import TASK_FORCES, Handling
from schemas.kinds.kind import Kind
from schemas.registry import KINDS, RULES, BodyInvalid, body_bytes, find, json_schema, newest, newest_body, read_body
from schemas.usage import USED_BY, users_of
from tests.schemas.instances import bodies

ALL = sorted(KINDS)
EXAMPLES = [(kind, number) for kind in KINDS.values() for number in range(len(kind.examples))]
VALIDATORS = {key: Draft202012Validator(json_schema(*key)) for key in ALL}
ASKED_FOR = """
    alert request reply forward withdrawal correction administrative.notice judicial.assistance
    trafficking.victim_referral trafficking.repatriation witness.movement drugs.seizure precursor.alert
    vehicle.stolen vehicle.hit fraud.consignment fraud.excise finance.account finance.transaction cyber.indicator
    terrorism.alert firearm.trace wmd.alert operation.plan operation.report permission.request permission
"""


def as_said(value: Any) -> Any:
    """JSON with each identifier as its sender stated it, without what the node made of it."""
    if isinstance(value, list):
        return [as_said(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"stated", "normalised", "verified"}:
        return value["stated"]
    return {name: as_said(item) for name, item in value.items()}


def unverified(value: Any) -> list[str]:
    """The identifiers in it that failed their check."""
    if isinstance(value, list):
        return [found for item in value for found in unverified(item)]
    if not isinstance(value, dict):
        return []
    own = [value["stated"]] if value.get("verified") is False else []
    return own + [found for item in value.values() for found in unverified(item)]


def test_there_is_every_kind_that_was_asked_for() -> None:
    assert {name for name, _ in KINDS} == set(ASKED_FOR.split())


@pytest.mark.parametrize(("kind", "number"), EXAMPLES, ids=lambda value: getattr(value, "name", str(value)))
def test_an_example_comes_through_json_and_model_as_it_was(kind: Kind, number: int) -> None:
    example = json.loads(json.dumps(kind.examples[number]))
    sent = body_bytes(kind.name, kind.version, example)
    assert as_said(json.loads(sent)) == example
    again = body_bytes(kind.name, kind.version, json.loads(sent))
    assert again == sent
    assert read_body(kind.name, kind.version, sent) == json.loads(sent)
    assert newest_body(kind.name, kind.version, json.loads(sent)) == json.loads(sent)


@pytest.mark.parametrize(("kind", "number"), EXAMPLES, ids=lambda value: getattr(value, "name", str(value)))
def test_an_example_agrees_with_the_schema_and_its_identifiers_hold(kind: Kind, number: int) -> None:
    VALIDATORS[kind.name, kind.version].validate(kind.examples[number])
    assert unverified(json.loads(body_bytes(kind.name, kind.version, kind.examples[number]))) == []


@pytest.mark.parametrize("name", sorted(RULES))
def test_examples_of_every_kind_have_names_in_three_scripts(name: str) -> None:
    text = json.dumps(newest(name).examples, ensure_ascii=False)
    for script, letters in (
        ("Latin", "[A-Z\u00c0-\u021b][a-z\u00c0-\u021b]{2}"),
        ("Greek", "[\u0386-\u03ce]{3}"),
        ("Cyrillic", "[\u0400-\u04ff]{3}"),
    ):
        assert re.search(letters, text), script


@pytest.mark.parametrize("key", ALL, ids=lambda key: key[0])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_bodies_from_the_schema_are_valid_and_come_through(key: tuple[str, int], data: st.DataObject) -> None:
    body = data.draw(bodies(*key))
    VALIDATORS[key].validate(body)
    sent = body_bytes(*key, body)
    assert body_bytes(*key, json.loads(sent)) == sent
    assert read_body(*key, sent) == json.loads(sent)
    VALIDATORS[key].validate(json.loads(sent))


@pytest.mark.parametrize("key", ALL, ids=lambda key: key[0])
def test_a_field_from_the_future_is_kept_and_one_that_is_missing_is_told(key: tuple[str, int]) -> None:
    example = json.loads(body_bytes(*key, find(*key).examples[0]))
    later = example | {"from_the_future": {"a": [1]}}
    assert read_body(*key, json.dumps(later).encode()) == later
    for name in json_schema(*key)["required"]:
        less = {field: value for field, value in example.items() if field != name}
        with pytest.raises(BodyInvalid) as caught:
            body_bytes(*key, less)
        assert name in {error.field for error in caught.value.errors}


def test_a_correction_is_of_a_valid_body_and_carries_no_other() -> None:
    example = find("correction", 1).examples[0]
    wrong = {**example["content"], "body": {"country": "RO", "seizures": [], "seized_on": "2003-10-15"}}
    with pytest.raises(BodyInvalid, match=r"content\.body\.seizures"):
        body_bytes("correction", 1, example | {"content": wrong})
    with pytest.raises(BodyInvalid, match=r"content\.kind"):
        body_bytes("correction", 1, example | {"content": {"kind": "correction", "body": dict(example)}})
    for field, value in (("kind", "drugs.siezure"), ("kind_version", 9)):
        with pytest.raises(BodyInvalid, match=rf"correction: content\.{field}: must be "):
            body_bytes("correction", 1, example | {"content": example["content"] | {field: value}})
    unknown = example | {"content": {"kind": "of.tomorrow", "kind_version": 1, "body": {"a": 1}}}
    assert read_body("correction", 1, json.dumps(unknown).encode()) == unknown


WRONG_IBAN = {"type": "account", "iban": "GR16 0110 1250 0000 0001 2300 696"}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("reply", {"result": "refused", "text": "No."}, "reason"),
    ("vehicle.stolen", {"vehicle": {"type": "vehicle", "make": "Dacia"}, "relations": []}, "vehicle.vin"),
    ("vehicle.hit", {"vehicle": {"type": "vehicle", "make": "Dacia"}}, "vehicle.vin"),
    ("finance.account", {"account": WRONG_IBAN, "relations": []}, "account.iban"),
    ("finance.account", {"account": {"type": "account", "bank": "x"}, "relations": []}, "account.iban"),
    ("firearm.trace", {"firearms": [{"type": "firearm"}], "relations": []}, "firearms.0.serial_number"),
    ("precursor.alert", {"precursors": [{"type": "drug"}]}, "precursors.0.name"),
    ("vehicle.stolen", {"owner": {"type": "ghost"}, "relations": []}, "owner.type"),
    ("alert", {"entities": [{"type": "person", "names": [{"full": ""}]}]}, "entities.0.names.0.full"),
    ("vehicle.hit", {"driver": {"type": "person", "sex": "ghost"}}, "driver.sex"),
    ("vehicle.stolen", {"owner": {"type": "person", "sex": "ghost"}, "relations": []}, "owner.sex"),
    ("alert", {"entities": [{"type": "person", "id": "a"}, {"type": "goods", "id": "a"}]}, "entities"),
    ("vehicle.stolen", {"relations": [{"source": "car", "relation": "owns", "target": "x"}]}, "relations.0.target"),
]


@pytest.mark.parametrize(("kind", "change", "field"), WRONG)
def test_rules_of_several_fields_name_the_one_to_correct(kind: str, change: dict[str, Any], field: str) -> None:
    body = dict(newest(kind).examples[0]) | change
    with pytest.raises(BodyInvalid) as caught:
        body_bytes(kind, 1, body)
    assert field in {error.field for error in caught.value.errors}, caught.value
    assert "ghost" not in str(caught.value)


def test_every_kind_is_used_and_every_task_force_is_said() -> None:
    assert {kind for kinds in USED_BY.values() for kind in kinds} == {name for name, _ in KINDS}
    assert USED_BY.keys() == TASK_FORCES.keys()
    assert users_of("alert") == tuple(TASK_FORCES)
    assert users_of("vehicle.hit") == ("vehicles",)


def test_a_sub_project_uses_what_the_task_force_above_it_uses() -> None:
    assert set(USED_BY["terrorism"]) < set(USED_BY["wmd"])
    assert "wmd.alert" not in USED_BY["salw"]


def test_a_witness_is_moved_under_the_strictest_rule() -> None:
    rule = RULES["witness.movement"]
    assert (rule.handling, rule.named, rule.personal) == ((Handling.H2, Handling.H3), True, True)
    assert not RULES["administrative.notice"].personal
