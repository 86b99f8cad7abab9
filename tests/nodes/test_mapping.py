"""From records of national systems to messages: each rule of a mapping, and what is wrong, by its name."""

import json
import string
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes import mapped as mapped_records
from nodes.errors import InputRefused, MappingInvalid
from nodes.mapped import Fault, Mapped, read_records
from nodes.mapping import Mapping, read_mapping
from nodes.recordids import id_key, record_id
from nodes.records import MAX_DEPTH, MAX_INPUT, MAX_RECORDS
from schemas import registry

HEAD = 'name = "test"\nsince = 2026-12-01\nkind = "alert"\nkey = "id"\n'
ALERT = '[message]\ntask_force = "drugs"\n[body]\ntitle = "a"\n'


def mapping(text: str, form: str = "json", kind: str = "alert", head: str = "") -> Mapping:
    """A mapping with these tables; `head` is what stands before them."""
    return read_mapping(f'{HEAD.replace("alert", kind)}format = "{form}"\n{head}\n{text}'.encode())


def map_all(form: Mapping, data: bytes) -> Iterator[Mapped]:
    """Every record of an export, mapped."""
    return mapped_records.map_all(form, read_records(form, data))


def one(text: str, data: str, form: str = "json", kind: str = "alert", head: str = "") -> Mapped:
    """What a mapping makes of an export of one record."""
    (found,) = map_all(mapping(text, form, kind, head), data.encode())
    return found


def read(rule: str, value: str, head: str = "", tables: str = "") -> Any:
    """What a rule reads from a text, as the text of an alert; or its fault."""
    found = one(
        f'{ALERT}text = {{ from = "v"{rule and f", {rule}"} }}\n{tables}', f'{{"id": 1, "v": {value}}}', head=head
    )
    return found.faults[0] if found.message is None else found.message["body"]["text"]


@pytest.mark.parametrize(
    ("rule", "value", "wanted"),
    [
        ("", '"  x  "', "x"),
        ('default = "y"', '""', "y"),
        ('default = "y"', "null", "y"),
        ('default = "y"', '"x"', "x"),
        ('date = "%d.%m.%Y"', '"5.3.2004"', "2004-03-05"),
        ('date = "%d.%m.%Y"', '"05.03.2004"', "2004-03-05"),
        ('date = ["%d.%m.%Y", "%m.%Y", "%Y"]', '"03.2004"', "2004-03"),
        ('date = ["%d.%m.%Y", "%m.%Y", "%Y"]', '"1974"', "1974"),
        ('date = "%Y"', "1974", "1974"),
        ('date = "%d.%m.%Y %H:%M"', '"03.03.2004 02:00"', "2004-03-03T02:00+02:00"),
        ('date = "%d.%m.%Y %H:%M:%S"', '"03.07.2004 02:00:09"', "2004-07-03T02:00:09+03:00"),
        ('date = "%Y-%m-%dT%H:%M%z"', '"2004-03-03T02:00+0530"', "2004-03-03T02:00+05:30"),
        ('decimal = ","', '"3,3"', "3.3"),
        ('decimal = ","', '"1.574,25"', "1574.25"),
        ('decimal = ","', '"1.574"', "1574"),
        ('decimal = ","', '"1 574"', "1574"),
        ('decimal = "."', '"1,574"', "1574"),
        ('decimal = "."', '"1.574"', "1.574"),
        ('decimal = ","', "1.574", "1.574"),
        ('codes = "t"', '"H"', "heroin"),
        ('codes = "t"', "7", "seven"),
        ('codes = "t"', "true", "yes"),
        ('join = "; "', '["x", null, "y"]', "x; y"),
        ('join = ""', '["x", "y"]', "xy"),
    ],
)
def test_a_value_is_read_by_its_rule(rule: str, value: str, wanted: str) -> None:
    tables = '[codes.t]\nH = "heroin"\n7 = "seven"\ntrue = "yes"'
    assert read(rule, value, 'zone = "Europe/Sofia"', tables) == wanted


@pytest.mark.parametrize(
    ("rule", "value", "found", "wanted"),
    [
        ('date = "%d.%m.%Y"', '"30.02.2004"', "'30.02.2004'", "must be a date that there is, written as %d.%m.%Y"),
        ('date = "%d.%m.%Y"', '"tomorrow"', "'tomorrow'", "must be a date"),
        ('decimal = ","', '"1.57"', "'1.57'", "must be a number with a decimal comma"),
        ('decimal = "."', '"1,57"', "'1,57'", "must be a number with a decimal point"),
        ('decimal = ","', '"many"', "'many'", "must be a number"),
        ('codes = "t"', '"X"', "'X'", "must be in the mapping's table of codes 't'"),
        ("", '["x", "y"]', "2 values", 'must be one, or the target a list: "body.text[]"'),
        ("", '{"x": 1}', "a part with parts of its own", "must be a single value"),
        ('join = " "', '["x", {"x": 1}]', "a part with parts of its own", "must be a single value"),
        ('codes = "t"', f'"{"x" * 50}"', "a text of 50 characters", "must be in"),
        ("", "null", "nothing", "is required"),
    ],
)
def test_what_cannot_be_read_is_named(rule: str, value: str, found: str, wanted: str) -> None:
    fault = read(rule, value, tables='[codes.t]\nH = "heroin"')
    assert (fault.target, fault.source, fault.found) == ("body.text", "v", found)
    assert fault.wanted.startswith(wanted)


def test_a_table_of_codes_may_have_a_rest() -> None:
    assert read('codes = "t"', '"X"', tables='[codes.t]\n"*" = "other"') == "other"


def test_several_sources_are_joined_without_those_that_are_empty() -> None:
    rule = 'text = { from = ["a", "b", "c"], join = ", " }'
    found = one(ALERT + rule, '{"id": 1, "a": "x", "b": "", "c": "z"}')
    assert found.message is not None
    assert found.message["body"]["text"] == "x, z"


def test_a_list_is_made_of_all_that_is_found_or_of_what_a_text_is_split_into() -> None:
    rules = 'text = "b"\n"countries[]" = { from = "lands", codes = "t" }\n[codes.t]\nROU = "RO"\nBGR = "BG"'
    for form in ('["ROU", "BGR"]', '["ROU", null, "BGR"]'):
        found = one(ALERT + rules, f'{{"id": 1, "lands": {form}}}')
        assert found.message is not None
        assert found.message["body"]["countries"] == ["RO", "BG"]
    split = rules.replace("lands", 'lands", split = "/').replace('"countries[]"', "countries")
    found = one(ALERT + split, '{"id": 1, "lands": "ROU / BGR/"}')
    assert found.message is not None
    assert found.message["body"]["countries"] == ["RO", "BG"]
    found = one(ALERT + split, '{"id": 1, "lands": ["ROU", {"x": 1}]}')
    assert found.faults[0].found == "a part with parts of its own"
    found = one(ALERT + rules, '{"id": 1, "lands": "ROU/BGR"}')
    assert found.faults[0].found == "'ROU/BGR'"


SEIZURE = (
    '[message]\ntask_force = "drugs"\n[body]\nseized_on = "2004-11-15"\ncountry = "RO"\n'
    '"seizures.0.substance" = { from = "d1" }\n"seizures.0.quantity" = { from = "q1" }\n"seizures.0.unit" = "kg"\n'
    '"seizures.1.substance" = { from = "d2" }\n"seizures.1.quantity" = { from = "q2" }\n"seizures.1.unit" = "kg"\n'
)


def test_an_element_for_which_a_record_has_nothing_is_left_out_and_constants_make_none() -> None:
    kind = "drugs.seizure"
    for data, wanted in (
        ("id,d1,q1,d2,q2\n1,heroin,2,,", [("heroin", "2")]),
        ("id,d1,q1,d2,q2\n1,,,opium,3", [("opium", "3")]),
        ("id,d1,q1,d2,q2\n1,heroin,2,opium,3", [("heroin", "2"), ("opium", "3")]),
    ):
        found = one(SEIZURE, data, "csv", kind)
        assert found.message is not None
        made = found.message["body"]["seizures"]
        assert [(item["substance"], item["quantity"]) for item in made] == wanted
        assert {item["unit"] for item in made} == {"kg"}
    found = one(SEIZURE, "id,d1,q1,d2,q2\n1,,,opium,", "csv", kind)
    assert found.faults == (Fault("body.seizures.0.quantity", "q2", "nothing", "is required"),)
    found = one(SEIZURE, "id,d1,q1,d2,q2\n1,,,,", "csv", kind)
    assert [(fault.target, fault.found) for fault in found.faults] == [("body.seizures", "nothing")]


def test_a_group_of_parts_makes_a_list_and_a_slash_leads_back_to_the_record() -> None:
    rules = (
        '[message]\ntask_force = "drugs"\n[groups]\nseizures = "Goods/Item"\n[body]\nseized_on = { from = "@day" }\n'
        'country = "RO"\n"seizures[].substance" = { from = "." }\n"seizures[].quantity" = { from = "@q" }\n'
        '"seizures[].unit" = "kg"\n"seizures[].note" = { from = "/Office" }'
    )
    data = (
        '<e:X xmlns:e="urn:e"><e:R id="1" day="2004-11-15"><e:Office>Giurgiu</e:Office><e:Goods>'
        '<e:Item q="2">heroin</e:Item><e:Item e:q="3"> opium </e:Item></e:Goods></e:R></e:X>'
    )
    head = HEAD.replace("alert", "drugs.seizure").replace('"id"', '"@id"')
    made = read_mapping(f'{head}format = "xml"\nrecords = "X/R"\n{rules}'.encode())
    (mapped,) = map_all(made, data.encode())
    assert mapped.message is not None
    assert mapped.message["body"]["seizures"] == [
        {"substance": "heroin", "quantity": "2", "unit": "kg", "note": "Giurgiu"},
        {"substance": "opium", "quantity": "3", "unit": "kg", "note": "Giurgiu"},
    ]


def test_every_fault_of_a_record_is_named_and_none_that_only_follows() -> None:
    rules = (
        '[message]\ntask_force = "piracy"\n"to[]" = { from = "to" }\npriority = "fast"\n[body]\n'
        'seized_on = { from = "on", date = "%d.%m.%Y" }\n'
        'country = { from = "land" }\n"seizures.0.quantity" = { from = "q", decimal = "," }\n"seizures.0.unit" = "kg"\n'
        '"seizures.0.substance" = { from = "s" }'
    )
    data = '{"id": 1, "to": ["bg"], "on": "yesterday", "land": "Romania", "q": "1.2", "s": "tea"}'
    found = one(rules, data, kind="drugs.seizure")
    assert found.message is None
    assert [(fault.target, fault.source) for fault in found.faults] == [
        ("body.seized_on", "on"),
        ("body.seizures.0.quantity", "q"),
        ("message.priority", ""),
        ("body.country", "land"),
        ("body.seizures.0.substance", "s"),
    ]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", "message.task_force"),
        ('task_force = "piracy"', "message.task_force"),
        ('task_force = "drugs"\nto = "bg"', "message.to"),
        ('task_force = "drugs"\nhandling = "H9"', "message.handling"),
        ('task_force = "drugs"\nreply_by = 2027-01-01T00:00:00', "message.reply_by"),
        ('task_force = "drugs"\nin_reply_to = "it"', "message.in_reply_to"),
    ],
)
def test_a_header_is_looked_at_as_the_api_does(header: str, target: str) -> None:
    found = one(f'[message]\n{header}\n[body]\ntitle = "a"\ntext = "b"', '{"id": 1}')
    assert [fault.target for fault in found.faults] == [target]


def test_a_kind_that_goes_to_named_recipients_only_is_not_made_for_all() -> None:
    found = one('[message]\ntask_force = "trafficking"\n[body]\ntext = "b"', '{"id": 1}', kind="witness.movement")
    told = [fault.wanted for fault in found.faults if fault.target == "message"]
    assert len(told) == 1
    assert "handling_not_of_kind" in told[0]


def test_a_body_is_looked_at_as_the_node_does_through_its_variants() -> None:
    rules = (
        '[message]\ntask_force = "vehicles"\n[body]\nstolen_on = "2004"\ncountry = "BG"\n"vehicle.type" = "vehicle"\n'
        '"vehicle.vin" = { from = "vin" }\n"owner.type" = "person"\n"owner.born" = { from = "born" }'
    )
    data = '{"id": 1, "vin": "WVWZZZ1JZXW000001", "born": "in March"}'
    found = one(rules, data, kind="vehicle.stolen")
    assert [(fault.target, fault.source, fault.found) for fault in found.faults] == [
        ("body.owner.born", "born", "'in March'")
    ]


def test_a_rule_over_several_parts_is_told_of_the_part_that_it_names() -> None:
    rules = (
        '[message]\ntask_force = "vehicles"\n[body]\nstolen_on = "2004"\ncountry = "BG"\n"vehicle.type" = "vehicle"\n'
        '"entities.0.type" = "person"\n"entities.0.id" = { from = "a" }\n"entities.1.type" = "person"\n'
        '"entities.1.id" = { from = "a" }\n"vehicle.engine_number" = "x"'
    )
    found = one(rules, '{"id": 1, "a": "a"}', kind="vehicle.stolen")
    assert [fault.target for fault in found.faults] == ["body.entities"]
    assert "an id names more than one" in found.faults[0].wanted


def test_records_are_known_by_their_key_and_each_has_one() -> None:
    form = mapping(ALERT + 'text = "b"')
    first, second, third, fourth = map_all(form, b'[{"id": 7}, {"id": "7"}, {"id": null}, {"id": [1, 2]}]')
    assert first.key == second.key == ("7",)
    assert first.message is not None
    assert [fault.wanted for fault in second.faults] == ["must not be that of record 1"]
    assert [fault.found for fault in third.faults + fourth.faults] == ["nothing", "several"]


def test_lines_of_a_record_are_told() -> None:
    form = mapping(ALERT + 'text = { from = "t" }', "csv")
    found = list(map_all(form, b'id,t\n\n1,"a\nb"\n2,\n'))
    assert [(item.record.number, item.record.line) for item in found] == [(1, 4), (2, 5)]
    assert found[1].told()[0]["field"] == "record 2, line 5, '2': body.text from t"


@pytest.mark.parametrize(
    ("form", "data", "why"),
    [
        ("csv", b"id,other\n1,2", "reads columns that the input has not: v"),
        ("csv", b"id,v\n1,2,3", "line 2 has 3 cells, and there are 2 columns"),
        ("csv", b"id,v\n1", "line 2 has 1 cells"),
        ("csv", b'id,v\n1,"2', "line 2 is no CSV"),
        ("csv", b"id,v,v\n1,2,3", "the column 'v' is there more than once"),
        ("csv", b"id,v\n1,\xff", "is no text in utf-8-sig from byte 7 on"),
        ("csv", b"id,v\n1," + b"x" * 140_000, "line 2 is no CSV"),
        ("json", b"{", "is not JSON"),
        ("json", b'{"id": 1, "id": 2}', "may be read in two ways"),
        ("json", b'{"id": NaN}', "NaN is no number of JSON"),
        ("json", b'{"id": 1e99999999999999999999}', "exponent is too large"),
        ("json", b"[" * 100_000, "nested too deeply"),
        ("json", b"\xff", "is not JSON"),
        ("xml", b"<X><R></X>", "is not XML"),
        ("xml", b"<X><r/></X>", "has no element X/R"),
        ("xml", b'<!DOCTYPE X [<!ENTITY a "b">]><X><R>&a;</R></X>', "has a document type"),
        ("xml", b'<!DOCTYPE X SYSTEM "http://localhost/x.dtd"><X><R/></X>', "has a document type"),
        ("xml", b"<X><R>&a;</R></X>", "undefined entity"),
        ("xml", b'<?xml version="1.0" encoding="zlib"?><X><R/></X>', "is not a text encoding"),
        ("xml", b"<X>" * (MAX_DEPTH + 1), "nested more than 64 deep"),
        ("csv", bytes(MAX_INPUT + 1), "has more than"),
        ("json", b"[" + b"1," * MAX_RECORDS + b"1]", "the input has more than 50000 records"),
    ],
)
def test_an_input_that_does_not_read_is_told_with_its_line(form: str, data: bytes, why: str) -> None:
    head = 'records = "X/R"' if form == "xml" else ""
    with pytest.raises(InputRefused, match=why.replace("(", r"\(")):
        list(map_all(mapping(ALERT + 'text = { from = "v" }', form, head=head), data))


@pytest.mark.parametrize(
    ("form", "data", "wanted"),
    [
        # expat would write the address of two million letters anew for each element.
        ("xml", b'<x:X xmlns:x="' + b"u" * 2_000_000 + b'">' + b"<x:a/>" * 10_000 + b"</x:X>", "has no element X/R"),
        ("xml", b"<X>" + b"<R/>" * 2_000_000 + b"</X>", "more than 50000 records"),
        ("csv", b"id\n" + b"1\n" * 4_000_000, "more than 50000 records"),
        ("csv", b",".join(b"%d" % n for n in range(200_000)) + b",199999\n", "'199999' is there more than once"),
    ],
    ids=["namespaces", "elements", "rows", "columns"],
)
def test_an_input_that_would_take_long_is_refused_soon(form: str, data: bytes, wanted: str) -> None:
    made = mapping(ALERT + 'text = { from = "v" }', form, head='records = "X/R"' if form == "xml" else "")
    begin = time.process_time()
    with pytest.raises(InputRefused, match=wanted):
        read_records(made, data)
    assert time.process_time() - begin < 2


def test_a_namespace_is_no_attribute_of_what_declares_it() -> None:
    content = '<e:R xmlns:e="urn:e" xmlns="urn:f"><id>1</id><e:v e:w="x"/></e:R>'
    found = one(
        ALERT + 'text = { from = ["@e", "@xmlns", "v/@w"], join = " " }\n', content, "xml", head='records = "R"'
    )
    assert found.message is not None
    assert found.message["body"]["text"] == "x"


def test_records_in_other_encodings_are_read_as_they_say() -> None:
    form = mapping(ALERT + 'text = { from = "v" }\n[csv]\nencoding = "cp1251"\ndelimiter = ";"', "csv")
    (found,) = map_all(form, "id;v\n1;Георги".encode("cp1251"))
    assert found.message is not None
    assert found.message["body"]["text"] == "Георги"
    form = mapping(ALERT + 'text = { from = "v" }', "xml", head='records = "R"')
    (xml,) = map_all(form, '<?xml version="1.0" encoding="iso-8859-7"?><R><id>1</id><v>Ηρώ</v></R>'.encode("iso8859-7"))
    assert xml.message is not None
    assert xml.message["body"]["text"] == "Ηρώ"


def test_a_csv_without_a_line_of_names_has_them_in_the_mapping() -> None:
    (found,) = map_all(mapping(ALERT + 'text = { from = "v" }\n[csv]\ncolumns = ["id", "v"]', "csv"), b"1,x")
    assert found.message is not None
    assert found.message["body"]["text"] == "x"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('text = { from = "v", code = "t" }', "body.text.code"),
        ('text = { from = "v", codes = "t" }', "body.text"),
        ("text = { }", "body.text"),
        ('text = { from = "v", constant = "x" }', "body.text"),
        ('text = { default = "v" }', "body.text"),
        ('text = { from = "v", date = "%d.%m.%y" }', "body.text.date"),
        ('text = { from = "v", date = "%B %Y" }', "body.text.date"),
        ('text = { from = "v", date = "%d.%Y" }', "body.text.date"),
        ('text = { from = "v", date = "%d.%m.%Y %H:%M" }', "zone"),
        ('text = { from = "v", date = "%Y", decimal = "," }', "body.text"),
        ('text = { from = "v", decimal = "x" }', "body.text.decimal"),
        ('colour = "red"', "body.colour"),
        ('"text..x" = "b"', "body.text..x"),
        ('text = "b"\n"text.x" = "b"', "body.text.x"),
        ('"countries[]" = "RO"\n"countries.0" = "RO"', "body.countries.0"),
        ('"countries[].x" = { from = "v" }', "groups.countries"),
        ('evaluation.source = "A"', "body.evaluation.source"),
        ('[message]\nid = "x"', "message.id"),
        ("[csv]\nencoding = 'base64'", "csv.encoding"),
        ("[csv]\ndelimiter = '::'", "csv.delimiter"),
        ('[csv]\ndelimiter = "\'"\nquote = "\'"', "csv.quote"),
    ],
)
def test_a_mapping_that_is_wrong_is_told_before_any_record(text: str, field: str) -> None:
    with pytest.raises(MappingInvalid) as refused:
        mapping(f'[body]\ntitle = "a"\n{text}')
    assert [item["field"] for item in refused.value.fields] == [field]


@pytest.mark.parametrize(
    ("text", "found", "wanted"),
    [
        ("[csv]\ndelimiter = '::'", "'::'", "must be a single character, and no end of a line"),
        ("[csv]\nencoding = 'klingon'", "'klingon'", "must be an encoding, for example "),
        ('text = { from = "v", decimal = "x" }', "'x'", "must be one of ',', '.'"),
        ("text = { from = [] }", "an empty list", "must not be empty"),
        ("text = { from = 12 }", "12", "must be a list"),
        ('vehicle.vin = "x"', "'x'", 'a path with dots stands in quotes, as "vehicle.vin"'),
    ],
)
def test_what_is_found_in_a_mapping_is_told_in_a_persons_words(text: str, found: str, wanted: str) -> None:
    with pytest.raises(MappingInvalid) as refused:
        mapping(f'[body]\ntitle = "a"\n{text}')
    [fault] = refused.value.fields
    assert (fault["found"], wanted in fault["wanted"]) == (found, True), fault


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (('"alert"', '"poem"'), "kind"),
        (('"json"', '"yaml"'), "format"),
        (('"json"', '"xml"'), "records"),
        (("2026-12-01", "1926-12-01"), "since"),
        (('key = "id"\n', ""), "key"),
        (('name = "test"', 'name = "Test 1"'), "name"),
        (('key = "id"', 'key = "id"\nzone = "Europe/Atlantis"'), "zone"),
        (('key = "id"', 'key = "id"\ncolour = "red"'), "colour"),
    ],
)
def test_the_head_of_a_mapping_is_looked_at(change: tuple[str, str], field: str) -> None:
    text = f'{HEAD}format = "json"\n{ALERT}text = "b"'.replace(*change)
    with pytest.raises(MappingInvalid) as refused:
        read_mapping(text.encode())
    assert [item["field"] for item in refused.value.fields] == [field]


def test_ids_are_stable_and_say_nothing_of_the_record() -> None:
    key, other = id_key(bytes(32)), id_key(bytes([1]) * 32)
    form = mapping(ALERT + 'text = "b"')
    found = record_id(key, form, ("a", "b"))
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert datetime.fromtimestamp((found.int >> 80) / 1000, UTC) == datetime(2026, 12, 1, tzinfo=UTC)
    assert record_id(key, form, ("a", "b")) == found
    renamed = form.model_copy(update={"name": "other"})
    others = [
        record_id(key, form, ("ab",)),
        record_id(key, form, ("a", "c")),
        record_id(other, form, ("a", "b")),
        record_id(key, renamed, ("a", "b")),
    ]
    assert len({found, *others}) == 5


CASE = (
    'text = { from = "t", join = " " }\n"countries[]" = { from = "lands", split = "/" }\n'
    '"evaluation.source" = { from = "a.b" }\n"evaluation.information" = { from = "n", decimal = "," }\n'
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "t", "n", "a", "b", "lands"]), inner)
    ),
    max_leaves=12,
)


def _either(form: Mapping, data: bytes) -> None:
    """Messages that the node takes, faults that are named, or the one error; nothing else."""
    try:
        found = list(map_all(form, data))
    except InputRefused:
        return
    for mapped in found:
        assert (mapped.message is None) == bool(mapped.faults)
        assert len(mapped.told()) == len(mapped.faults)
        if mapped.message is not None:
            registry.body_bytes("alert", 1, mapped.message["body"])


@given(st.binary(max_size=200) | st.text(string.printable).map(str.encode), st.sampled_from(["csv", "json", "xml"]))
def test_no_bytes_make_anything_but_the_typed_error(data: bytes, form: str) -> None:
    csv_columns = '[csv]\ncolumns = ["id", "t", "lands", "a.b", "n"]'
    head = 'records = "X/R"' if form == "xml" else ""
    _either(mapping(f"{ALERT}{CASE}{csv_columns}", form, head=head), data)


@given(st.lists(anything, max_size=4))
def test_no_json_makes_anything_but_named_faults(records: list[Any]) -> None:
    _either(mapping(ALERT + CASE), json.dumps(records).encode())


@given(st.lists(st.lists(st.text(max_size=8), min_size=5, max_size=5), max_size=4))
def test_no_cells_make_anything_but_named_faults(cells: list[list[str]]) -> None:
    lines = [
        ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row)
        for row in [["id", "t", "lands", "a.b", "n"], *cells]
    ]
    _either(mapping(ALERT + CASE, "csv"), "\r\n".join(lines).encode(errors="replace"))


def _written(children: list[tuple[str, str]]) -> str:
    return "".join(f"<{name} id='1'>{content}</{name}>" for name, content in children)


names = st.sampled_from(["id", "t", "lands", "n", "R", "X"])
texts = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=8
)


@given(st.recursive(texts.map(escape), lambda inner: st.lists(st.tuples(names, inner), max_size=4).map(_written)))
def test_no_elements_make_anything_but_named_faults(content: str) -> None:
    _either(mapping(ALERT + CASE, "xml", head='records = "X/R"'), f"<X><R>{content}</R></X>".encode())


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.sampled_from(["v", "[]", "%Y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["from", "codes", "date", "x"]), inner),
    max_leaves=4,
)
parts_of_mapping = st.sampled_from(
    ["name", "since", "kind", "format", "key", "zone", "records", "groups", "csv", "codes"]
)
targets = st.text("atx[].0", max_size=8) | st.sampled_from(["title", "text", "text.0", "countries[]", "countries[].x"])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return (
        json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
        if not isinstance(value, date)
        else str(value)
    )


@given(st.dictionaries(parts_of_mapping, toml_values, max_size=2), st.dictionaries(targets, toml_values, max_size=4))
def test_no_mapping_makes_anything_but_the_typed_error(head: dict[str, Any], body: dict[str, Any]) -> None:
    usual = {"name": "n", "since": date(2026, 12, 1), "kind": "alert", "format": "json", "key": "id"}
    lines = [f"{name} = {_toml(value)}" for name, value in {**usual, **head}.items()]
    lines += ["[body]", *(f"{json.dumps(target)} = {_toml(value)}" for target, value in body.items())]
    try:
        form = read_mapping("\n".join(lines).encode(errors="replace"))
    except MappingInvalid as error:
        assert error.fields or "is not TOML" in str(error)
        return
    if form.format == "json" and not form.records:
        assert len(list(map_all(form, b'[{"id": 1, "v": "2004", "x": {"v": [1, null]}}, 7, {}]'))) == 3


@given(st.binary(max_size=60))
def test_no_bytes_of_a_mapping_make_anything_but_the_typed_error(data: bytes) -> None:
    with pytest.raises(MappingInvalid):
        read_mapping(data)
