"""Indicators of STIX 2.1: what comes in goes out again, what is no STIX is refused, and what is left out is told."""

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from nodes.cli import main
from nodes.errors import StixRefused
from nodes.stix import from_stix, to_stix
from schemas.registry import body_bytes, newest

BODY: dict[str, Any] = json.loads(json.dumps(newest("cyber.indicator").examples[0]))
# The indicator of section 4.7 of the STIX 2.1 specification, with what a platform adds.
BUNDLE: dict[str, Any] = {
    "type": "bundle",
    "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d",
    "objects": [
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created_by_ref": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
            "created": "2016-04-06T20:03:48.000Z",
            "modified": "2016-04-06T20:03:48.000Z",
            "indicator_types": ["malicious-activity"],
            "name": "Poison Ivy Malware",
            "description": "This file is part of Poison Ivy",
            "pattern": "[ file:hashes.'SHA-256' = '4bac27393bdd9777ce02453256c5577cd02275510b2227f473d03f533924f877' ]",
            "pattern_type": "stix",
            "valid_from": "2016-01-01T00:00:00Z",
            "x_platform_score": 7,
        },
        {
            "type": "identity",
            "spec_version": "2.1",
            "id": "identity--f431f809-377b-45e0-aa1c-6a4751cae5ff",
            "created": "2016-04-06T20:03:48.000Z",
            "modified": "2016-04-06T20:03:48.000Z",
            "name": "CERT",
        },
    ],
}

RED_2, AMBER_2, RED_1, WHITE_1 = (
    f"marking-definition--{id}"
    for id in (
        *("e828b379-4e03-4974-9ac4-e53a884c97c1", "55d920b0-5e8b-4f79-9ee9-91f868d9b421"),
        *("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", "613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    )
)
OTHER = "marking-definition--8f0a5a3e-5a0c-4c3f-9a51-2f8f1e5f2f10"


def changed(**fields: Any) -> dict[str, Any]:
    bundle = deepcopy(BUNDLE)
    bundle["objects"][0] |= fields
    return bundle


def test_indicators_come_back_as_they_went_out() -> None:
    bundle = to_stix(BODY)
    assert from_stix(bundle, "t").body["indicators"] == BODY["indicators"]
    assert to_stix(BODY) == bundle


def test_a_bundle_becomes_a_valid_body_and_what_is_not_in_it_is_told() -> None:
    found = from_stix(BUNDLE, "Poison Ivy")
    assert json.loads(body_bytes("cyber.indicator", 1, found.body))["indicators"][0]["name"] == "Poison Ivy Malware"
    assert found.left_out == {"identity": 1, "property created_by_ref": 1, "property x_platform_score": 1}


def test_what_goes_out_is_what_the_library_reads() -> None:
    from stix2 import parse

    parsed = parse(to_stix(BODY), version="2.1")
    assert [item.type for item in parsed.objects] == ["marking-definition", "indicator"]
    assert parsed.objects[1].created.microsecond == 0
    assert parsed.objects[1].object_marking_refs == [parsed.objects[0].id]
    assert parsed.objects[0].name == "TLP:AMBER"


@pytest.mark.parametrize(
    ("markings", "tlp", "told"),
    [
        ([RED_2], "TLP:RED", 0),
        ([RED_1], "TLP:RED", 0),
        ([WHITE_1], "TLP:CLEAR", 0),
        # The strictest holds, and no marking is dropped without a word.
        ([AMBER_2, RED_2], "TLP:RED", 0),
        ([OTHER, AMBER_2], "TLP:AMBER", 1),
        ([OTHER], None, 1),
    ],
)
def test_to_whom_an_indicator_may_be_told_comes_with_it(markings: list[str], tlp: str | None, told: int) -> None:
    found = from_stix(changed(object_marking_refs=markings, tlp="TLP:CLEAR"), "t")
    assert found.body["indicators"][0].get("tlp") == tlp
    assert found.left_out.get("property object_marking_refs", 0) == told
    # What is called so in STIX is somebody's own property.
    assert found.left_out["property tlp"] == 1


@pytest.mark.parametrize(
    ("bundle", "said"),
    [
        (changed(pattern="[file:name = ]"), "no STIX"),
        (changed(pattern=None), "no STIX"),
        (changed(id=["indicator"]), "no STIX"),
        (changed(id=RED_2), "no STIX"),
        (changed(object_marking_refs=5), "no STIX"),
        (changed(object_marking_refs=[["x"]]), "no STIX"),
        (changed(spec_version="2.0"), "2.1"),
        (changed(id="indicator--1"), "no STIX"),
        (changed(extensions={"x": 5}), "no STIX"),
        (changed(extensions=[1]), "no STIX"),
        (changed(pattern=" AND ".join(["[ipv4-addr:value = '192.0.2.1']"] * 2000)), "too many parts"),
        (changed(pattern="[" + "(" * 3000 + "a:b = 1" + ")" * 3000 + "]"), "nested too deeply"),
        (changed(valid_until="2015-01-01T00:00:00Z"), "no STIX"),
        (changed(revoked=True), "in force"),
        ({"type": "bundle", "objects": []}, "no indicator"),
        ({"type": "bundle", "objects": ["x"]}, "neither"),
        ({"type": "report"}, "neither"),
    ],
)
def test_what_is_no_stix_in_force_is_refused(bundle: dict[str, Any], said: str) -> None:
    with pytest.raises(StixRefused, match=said):
        from_stix(bundle, "t")


def test_a_wrong_pattern_does_not_go_out() -> None:
    body = deepcopy(BODY)
    body["indicators"][0]["pattern"] = "[x"
    with pytest.raises(StixRefused):
        to_stix(body)


def _typed(patch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    patch.setattr(sys, "argv", ["seci-node", "stix", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_commands_print_json_and_say_the_rest_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(BUNDLE), encoding="utf-8")
    assert _typed(monkeypatch, "import", file, "--title", "Ivy") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["title"] == "Ivy"
    assert "left out: 1 x identity" in printed.err
    file.write_text(printed.out, encoding="utf-8")
    assert _typed(monkeypatch, "export", file, "--json") == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["type"], printed.err) == ("bundle", "left out: title\n")
    file.write_text(json.dumps({"title": "t", "indicators": []}), encoding="utf-8")
    assert _typed(monkeypatch, "export", file, "--json") == 2
    assert json.loads(capsys.readouterr().out)["code"] == "body_invalid"
