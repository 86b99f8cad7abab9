"""What may change in a kind within its version, and what is told of a change that may not."""

import json
from enum import StrEnum
from typing import Annotated, Literal, Union

import pytest
from pydantic import Field, create_model

from schemas.compatibility import breaks
from schemas.kinds.common import Body, Line
from schemas.registry import KINDS, json_schema


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(Body):
    """A part."""

    name: Line
    colour: Colour | None = None


class Car(Body):
    type: Literal["car"]


class Ship(Body):
    type: Literal["ship"]


Means = Annotated[Car | Ship, Field(discriminator="type")]


class Thing(Body):
    """As it was."""

    title: Line
    count: Annotated[int, Field(ge=0, le=10)] = 0
    parts: Annotated[tuple[Part, ...], Field(max_length=5)] = ()
    means: Means | None = None


def changed(**fields: object) -> type[Body]:
    """The thing with some fields as they are by now, or new."""
    return create_model("Thing", __base__=Thing, **fields)  # type: ignore[call-overload, no-any-return]


class More(Part):
    weight: int | None = None


class Stricter(Part):
    weight: int


class Longer(Body):
    name: Annotated[str, Field(min_length=1, max_length=301)]
    colour: Colour | None = None


class Colours(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Coloured(Body):
    name: Line
    colour: Colours | None = None


class Plane(Body):
    type: Literal["plane"]


@pytest.mark.parametrize(
    "now",
    [
        Thing,
        changed(note=(Line | None, None)),
        changed(parts=(Annotated[tuple[More, ...], Field(max_length=5)], ())),
        changed(title=(Annotated[Line, Field(description="In words.", examples=["x"])], ...)),
    ],
    ids=["nothing", "optional", "optional deeper", "words"],
)
def test_a_new_optional_field_and_new_words_are_no_break(now: type[Body]) -> None:
    assert breaks(Thing.model_json_schema(), now.model_json_schema()) == ()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (changed(note=(Line, ...)), "body.note: is new, and required"),
        (changed(title=(Line | None, None)), "body.title: is not required any more"),
        (changed(count=(Annotated[int, Field(ge=0, le=10)], ...)), "body.count: is required by now"),
        (changed(count=(Annotated[int, Field(ge=0, le=11)], 0)), "body.count: `maximum` was 10 and is 11"),
        (changed(count=(Annotated[float, Field(ge=0, le=10)], 0)), "body.count: `type` was 'integer' and is 'number'"),
        (changed(parts=(tuple[Part, ...], ())), "body.parts: `maxItems` was 5 and is nothing"),
        (
            changed(parts=(Annotated[tuple[Stricter, ...], Field(max_length=5)], ())),
            "body.parts[].weight: is new, and required",
        ),
        (
            changed(parts=(Annotated[tuple[Longer, ...], Field(max_length=5)], ())),
            "body.parts[].name: `maxLength` was 300 and is 301",
        ),
        (
            changed(parts=(Annotated[tuple[Coloured, ...], Field(max_length=5)], ())),
            "body.parts[].colour: may be green by now, which older nodes refuse",
        ),
        (
            changed(means=(Annotated[Union[Car, Ship, Plane], Field(discriminator="type")] | None, None)),  # noqa: UP007
            "body.means: had 2 alternatives and has 3",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_other_change_is_a_break_and_its_place_is_named(now: type[Body], said: str) -> None:
    assert said in breaks(Thing.model_json_schema(), now.model_json_schema())


def test_a_field_that_is_gone_and_a_value_that_is_gone_are_breaks() -> None:
    class Less(Body):
        title: Line

    assert "body.count: was a field and is none" in breaks(Thing.model_json_schema(), Less.model_json_schema())
    old, new = Coloured.model_json_schema(), Part.model_json_schema()
    assert breaks(old, new) == ("body.colour: may not be green any more",)


def test_what_contains_itself_comes_to_an_end() -> None:
    class Tree(Body):
        branches: tuple["Tree", ...] = ()

    class Other(Body):
        branches: Annotated[tuple["Other", ...], Field(max_length=1)] = ()

    assert breaks(Tree.model_json_schema(), Tree.model_json_schema()) == ()
    assert breaks(Tree.model_json_schema(), Other.model_json_schema())


@pytest.mark.parametrize(("kind", "version"), sorted(KINDS))
def test_taking_any_field_away_from_any_kind_is_seen(kind: str, version: int) -> None:
    schema = json_schema(kind, version)
    for name in schema["properties"]:
        less = json.loads(json.dumps(schema))
        del less["properties"][name]
        assert f"body.{name}: was a field and is none" in breaks(schema, less)
