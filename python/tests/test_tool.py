"""@tool and what it reads from a signature: the schemas and the check of arguments."""

# Tools' hints are needed at run time; some of them are wrong on purpose.
# ruff: noqa: PGH003, TC003
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from snakepit import Adapter, Context, DefinitionError, Input, errors, tool
from snakepit._adapter import Tool, collect
from snakepit.testing import Harness


@dataclass
class Point:
    x: int
    y: int = 0


class Shapes(Adapter):
    @tool
    def area(self, points: list[Point], scale: float = 1.0) -> float:
        """Gives the area of a polygon."""
        return len(points) * scale

    @tool
    def mix(self, a: int, /, b: str, *, c: bool = False) -> str:
        return f"{a} {b} {c}"

    @tool
    def extra(self, a: int, **rest: int) -> dict[str, int]:
        return {"a": a, **rest}

    @tool
    def level(self, n: Annotated[int, msgspec.Meta(ge=1, le=9)], mode: Literal["x", "y"]) -> str:
        return mode * n

    @tool
    def anything(self, value, other=None):  # type: ignore[no-untyped-def]  # pyright: ignore
        return [value, other]  # pyright: ignore[reportUnknownVariableType]

    @tool
    def array(self, data: npt.NDArray[np.float64] | None = None) -> str:
        return type(data).__name__

    @tool
    def when(self, at: datetime, tags: set[str]) -> str:
        return f"{at.year} {sorted(tags)}"

    @tool
    def add(self, a: int, b: float) -> float:
        return a + b

    @tool
    def mutable(self, items: list[int] = [1, 2]) -> list[int]:  # noqa: B006
        return items


@pytest.fixture
def shapes() -> Harness:
    return Harness(Shapes)


def tool_of(function: Callable[..., Any]) -> Tool:
    (found,) = collect(function).tools.values()
    return found


def test_function_stays_what_it_was() -> None:
    @tool
    def plain(a: int) -> int:
        return a + 1

    @tool(name="other", description="d", idempotent=True, cancel="kill")
    def called(a: int) -> int:
        return a + 2

    assert (plain(1), called(1)) == (2, 3)
    t = tool_of(called)
    assert (t.name, t.description, t.idempotent, t.cancel) == ("other", "d", True, "kill")
    assert (tool_of(plain).name, tool_of(plain).cancel) == ("plain", "interrupt")


def test_description_is_the_docstring_cut_to_what_travels() -> None:
    def long() -> None: ...

    long.__doc__ = "ü" * 3000
    t = tool_of(tool(long))
    assert len(t.description.encode()) == 4096
    assert collect(Shapes).tools["area"].description == "Gives the area of a polygon."


@pytest.mark.parametrize("name", ["", "two words", ".dot", "ü", "x" * 65, "a\n"])
def test_bad_name_is_refused_at_the_definition(name: str) -> None:
    with pytest.raises(DefinitionError, match="tool name"):
        tool(name=name)(lambda: None)


@pytest.mark.parametrize("name", ["x", "A.b-c_d", "0", "x" * 64])
def test_good_name_is_taken(name: str) -> None:
    @tool(name=name)
    def f() -> None: ...

    assert tool_of(f).name == name


def test_unknown_way_to_cancel_is_refused() -> None:
    with pytest.raises(DefinitionError, match="cancel"):
        tool(name="f", cancel="politely")(lambda: None)  # type: ignore[call-overload]  # pyright: ignore


def test_class_is_no_tool() -> None:
    with pytest.raises(DefinitionError, match="not on a type"):
        tool(Point)


def test_positional_rest_is_refused() -> None:
    @tool
    def f(*args: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"\*args"):
        collect(f)


def test_two_contexts_are_refused() -> None:
    @tool
    def f(a: Context, b: Context) -> None: ...

    with pytest.raises(DefinitionError, match="'a' and 'b'"):
        collect(f)


def test_hint_that_cannot_be_resolved_is_named() -> None:
    @tool
    def f(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    with pytest.raises(DefinitionError, match="'Missing' is not defined"):
        collect(f)


def test_hint_that_cannot_be_checked_is_named() -> None:
    @tool
    def f(a: list[int] | npt.NDArray[np.int64]) -> None: ...

    with pytest.raises(DefinitionError, match="the hint of 'a'"):
        collect(f)


def test_tool_may_be_named_like_a_type() -> None:
    class Odd(Adapter):
        @tool
        def list(self, items: list[int]) -> list[int]:  # pyright: ignore
            return items

    assert Harness(Odd).call("list", items=[1]) == [1]


def test_input_schema_has_a_property_for_each_argument() -> None:
    schema = json.loads(collect(Shapes).tools["area"].signature.input_schema)
    assert schema == {
        "type": "object",
        "properties": {
            "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
            "scale": {"type": "number", "default": 1.0},
        },
        "required": ["points"],
        "additionalProperties": False,
        "$defs": {
            "Point": {
                "title": "Point",
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
                "required": ["x"],
            }
        },
    }


def test_schema_leaves_out_what_the_sdk_gives() -> None:
    @tool
    def f(ctx: Context, numbers: Input[int], a: int) -> int: ...  # type: ignore[empty-body]

    signature = tool_of(f).signature
    assert list(json.loads(signature.input_schema)["properties"]) == ["a"]
    assert (signature.context, signature.input) == ("ctx", "numbers")


def test_schema_of_any_extra_argument() -> None:
    schema = json.loads(collect(Shapes).tools["extra"].signature.input_schema)
    assert schema["additionalProperties"] == {"type": "integer"}


def test_output_schema_is_that_of_the_result_or_of_each_chunk() -> None:
    @tool
    def one() -> list[int]: ...  # type: ignore[empty-body]

    @tool
    def many() -> Iterator[str]:
        yield ""

    @tool
    async def later() -> AsyncIterator[bool]:
        yield True

    @tool
    def unknown(): ...  # type: ignore[no-untyped-def]

    @tool
    def given() -> Iterator[int]:
        return iter([1])

    read = [tool_of(f).signature for f in (one, many, later, unknown, given)]
    outputs = [json.loads(s.output_schema or "null") for s in read]
    assert outputs == [
        {"type": "array", "items": {"type": "integer"}},
        {"type": "string"},
        {"type": "boolean"},
        None,
        {"type": "integer"},
    ]
    assert [s.stream for s in read] == [False, True, True, False, True]
    assert [s.is_async for s in read] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("name", "given", "path", "says"),
    [
        ("area", {}, "$.points", "missing argument 'points'"),
        ("area", {"points": [{"x": 1}, {"x": "a"}]}, "$.points[1].x", "Expected `int`, got `str`"),
        ("area", {"points": [{}]}, "$.points[0].x", "missing required field"),
        ("area", {"points": [], "scal": 1}, "$.scal", "did you mean 'scale'?"),
        ("area", {"points": "no"}, "$.points", "Expected `array`"),
        ("level", {"n": 10, "mode": "x"}, "$.n", "<= 9"),
        ("level", {"n": 1, "mode": "z"}, "$.mode", "Invalid enum value"),
        ("extra", {"a": 1, "b": "x"}, "$.b", "Expected `int`"),
        ("array", {"data": [1.0]}, "$.data", "numpy.ndarray"),
        ("add", {"a": True, "b": 1}, "$.a", "Expected `int`, got `bool`"),
    ],
)
def test_argument_that_does_not_fit_is_named_by_its_path(
    shapes: Harness, name: str, given: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(errors.InvalidArgumentsError) as caught:
        shapes.call(name, **given)
    assert caught.value.path == path
    assert says in str(caught.value)
    assert not caught.value.may_have_run


def test_arguments_reach_their_parameters(shapes: Harness) -> None:
    assert shapes.call("mix", a=1, b="x") == "1 x False"
    assert shapes.call("area", points=[Point(1), Point(2)], scale=2) == 4.0
    assert shapes.call("extra", a=1, b=2, c=3) == {"a": 1, "b": 2, "c": 3}
    assert shapes.call("anything", value={"k": (1, 2)}) == [{"k": (1, 2)}, None]
    assert shapes.call("mutable") == [1, 2]


def test_rich_values_keep_their_types(shapes: Harness) -> None:
    assert shapes.call("array", data=np.zeros(3)) == "ndarray"
    assert shapes.call("array") == "NoneType"
    assert shapes.call("when", at=datetime(2026, 1, 1, tzinfo=UTC), tags={"a"}) == "2026 ['a']"
    assert shapes.call("when", at="2026-01-01T00:00:00Z", tags=["b"]) == "2026 ['b']"


def test_numpy_scalars_count_as_numbers(shapes: Harness) -> None:
    assert shapes.call("add", a=np.int64(1), b=np.float32(2)) == 3.0
    assert shapes.call("area", points=[{"x": np.int8(1)}]) == 1.0


def test_unknown_tool_suggests_the_nearest(shapes: Harness) -> None:
    with pytest.raises(errors.ToolNotFoundError, match="did you mean 'area'"):
        shapes.call("aera")
    with pytest.raises(errors.InvalidToolNameError):
        shapes.call("no such tool")
    with pytest.raises(errors.InvalidToolNameError) as caught:
        shapes.call("x" * 10_000)
    assert len(str(caught.value)) < 300
