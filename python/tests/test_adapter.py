"""Finding adapters and their tools."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snakepit import Adapter, DefinitionError, _adapter, tool
from snakepit._adapter import collect, load
from snakepit.testing import Harness

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a Python file and gives its path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(source: str, name: str = "made_up.py") -> str:
        path = tmp_path / name
        path.write_text("from snakepit import Adapter, tool\n" + textwrap.dedent(source))
        return str(path)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_functions_of_a_file_need_no_class(write: Write) -> None:
    box = load(write("@tool\ndef a() -> int: return 1\n@tool(name='c')\ndef b() -> int: return 2"))
    assert (box.name, list(box.tools), box.slots) == ("made_up", ["a", "c"], 1)


def test_only_adapter_of_a_file_is_taken_with_the_functions_beside_it(write: Write) -> None:
    box = load(
        write("""
        class Base(Adapter):
            @tool
            def a(self) -> str: return type(self).__name__
        class Own(Base):
            slots = 3
            @tool
            def b(self) -> int: return 2
        @tool
        def c() -> int: return 3
        """)
    )
    assert (box.name, list(box.tools), box.slots) == ("Own", ["a", "b", "c"], 3)
    assert box.tools["a"].function() == "Own"


def test_class_may_be_named(write: Write) -> None:
    source = """
    class One(Adapter):
        @tool
        def a(self) -> int: return 1
    class Two:
        @tool
        def b(self) -> int: return 2
    """
    path = write(source)
    with pytest.raises(DefinitionError, match="several adapters"):
        load(path)
    sys.modules.pop("made_up")
    assert list(load(f"{path}:Two").tools) == ["b"]


def test_module_is_found_by_its_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(write("@tool\ndef a() -> int: return 1", "named_module.py"))
    monkeypatch.chdir(path.parent)
    assert list(load("named_module").tools) == ["a"]
    assert list(load("named_module:a").tools) == ["a"]


def test_file_named_like_a_module_of_python_hides_nothing(write: Write) -> None:
    import json  # noqa: PLC0415

    assert list(load(write("@tool\ndef a() -> int: return 1", "json.py")).tools) == ["a"]
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1", "has no tools"),
        ("@tool\ndef a(): ...\n@tool(name='a')\ndef b(): ...", "two tools are named 'a'"),
        ("@tool\ndef a(): ...\n@tool\ndef a(): ...", r"defined in lines 2 and 4"),
        ("class A(Adapter):\n @tool\n def a(self): ...\n @tool\n def a(self): ...", "two tools"),
        ("class A(Adapter):\n slots = 0\n @tool\n def a(self): ...", "slots"),
        ("class A(Adapter): ...", "A has no tools"),
    ],
)
def test_adapter_that_cannot_serve_says_why(write: Write, source: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        load(write(source))


def test_slots_that_the_host_wants_go_before_the_adapters(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("class A(Adapter):\n slots = 3\n @tool\n def a(self): ...")
    assert load(path).slots == 3
    monkeypatch.setenv("SNAKEPIT_WORKER_SLOTS", "8")
    assert load(path).slots == 8
    assert load(f"{path}:A").slots == 8
    for wrong in ("0", "1025", "many", "-1"):
        monkeypatch.setenv("SNAKEPIT_WORKER_SLOTS", wrong)
        with pytest.raises(
            DefinitionError, match="SNAKEPIT_WORKER_SLOTS is a number from 1 to 1024"
        ):
            load(path)


def test_name_that_is_not_there_suggests_the_nearest(write: Write) -> None:
    path = write("class Digits(Adapter):\n @tool\n def a(self): ...")
    with pytest.raises(DefinitionError, match="did you mean 'Digits'"):
        load(f"{path}:Digit")


def test_missing_file_or_module_is_named(write: Write) -> None:
    with pytest.raises(DefinitionError, match=r"there is no file .*gone\.py"):
        load("gone.py")
    with pytest.raises(DefinitionError, match="no module 'gone'"):
        load("gone")
    with pytest.raises(ModuleNotFoundError, match="missing_too"):
        load(write("import missing_too"))


def test_property_is_not_run_to_look_for_tools() -> None:
    class Careful(Adapter):
        @property
        def trap(self) -> int:
            raise AssertionError

        @tool
        def a(self) -> int:
            return 1

    assert Harness(Careful).call("a") == 1


def test_plain_function_is_not_taken_for_a_tool() -> None:
    def plain() -> None: ...

    with pytest.raises(DefinitionError, match="put @tool"):
        collect(plain)


def test_signatures_that_were_read_ahead_are_those_of_every_instance(write: Write) -> None:
    file = write("""
        @tool
        def beside(x: int) -> int:
            return x

        class Doubler(Adapter):
            @tool
            def double(self, x: int, y: str = "") -> int:
                return 2 * x

            @staticmethod
            @tool
            def alone(x: float) -> float:
                return x
    """)
    found = _adapter.find(file)
    before = _adapter.assemble(found)
    _adapter.read_ahead(found)
    one, two = _adapter.assemble(found), _adapter.assemble(found)
    for name in ("beside", "double"):
        assert one.tools[name].signature is two.tools[name].signature
    for name, read in before.tools.items():
        assert one.tools[name].signature.input_schema == read.signature.input_schema
        assert one.tools[name].signature.output_schema == read.signature.output_schema
    assert one.tools["double"].signature.bind({"x": 3}) == ([], {"x": 3, "y": ""})
    assert one.tools["double"].function is not two.tools["double"].function


def test_a_signature_that_is_none_fails_where_it_is_needed(write: Write) -> None:
    found = _adapter.find(write("@tool\ndef bad(*xs: int) -> None: ...\n"))
    _adapter.read_ahead(found)
    with pytest.raises(DefinitionError, match="use a list"):
        _adapter.assemble(found)
