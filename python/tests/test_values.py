"""Values keep their type, in both directions; proto/VALUES.md has the table."""

# Types are what these tests find out.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

import array
import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import math
import mmap
import os
import pathlib
import sys
import threading
import unittest.mock
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pytest
from msgspec.msgpack import Ext

from snakepit import _values as values
from snakepit._values import DecodeError, Marker, codes, decode, encode

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: Any) -> Any:
        """Say that a method overrides; typing has it from 3.12 on."""
        return method


GOLDEN = pathlib.Path(__file__).parents[2] / "proto/values/testdata/values.txt"
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

# What the golden file's lines stand for. The Go test has the same table.
CASES: dict[str, Any] = {
    "nil": None,
    "true": True,
    "int": 3,
    "int_min": -(1 << 63),
    "int_max": (1 << 64) - 1,
    "bigint": 1 << 70,
    "bigint_negative": -(1 << 70),
    "float": 1.5,
    "nan": math.nan,
    "infinity": math.inf,
    "str": "Grüße",
    "bin": b"\x00\xff",
    "array": [1, [2.5, None]],
    "map": {"a": 1, "b": [True]},
    "map_int_keys": {1: "x", -2: "y"},
    "map_tuple_keys": {(1, 2): "x"},
    "datetime": dt.datetime(2024, 2, 29, 12, 30, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    "datetime_utc": dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC),
    "datetime_zone": dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    "datetime_naive": dt.datetime(2024, 2, 29, 12, 30, 0, 500000),
    "date": dt.date(2024, 2, 29),
    "time": dt.time(12, 30, 0, 500000),
    "time_offset": dt.time(12, 30, tzinfo=dt.timezone(-dt.timedelta(hours=3, minutes=30))),
    "timedelta": dt.timedelta(days=1, seconds=2, microseconds=3),
    "timedelta_negative": -dt.timedelta(microseconds=1),
    "timedelta_max": dt.timedelta.max,
    "decimal": decimal.Decimal("-1.50"),
    "decimal_nan": decimal.Decimal("NaN"),
    "uuid": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    "tuple": (1, (2, "x"), []),
    "set": {7},
    "frozenset": frozenset({"x"}),
    "complex": 1.5 - 2j,
    "surrogate": "a\ud800b",
    "bytearray": bytearray(b"ab"),
    "ndarray": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    "ndarray_bool": np.array([True, False]),
    "ndarray_text": np.array(["ab", "c"]),
    "ndarray_big_endian": np.array([1, -2], dtype=">i2"),
    "ndarray_empty": np.zeros((0, 3), dtype=np.uint8),
    "ndarray_zero_d": np.array(7, dtype=np.int64),
    "ndarray_dates": np.array(["2024-02-29"], dtype="<M8[D]"),
    "scalar_float32": np.float32(0.5),
    "scalar_int64": np.int64(-3),
    "scalar_bool": np.bool_(True),
    "scalar_str": np.str_("é"),
    "memoryview": memoryview(b"\x01\x02\x03\x04").cast("H"),
    "pyarray": array.array("d", [1.0, 2.0]),
    "marker": Marker(type="mod.Class", why="no encoding"),
    "unknown_ext": Ext(100, b"\x01\x02"),
}


def golden() -> dict[str, bytes]:
    lines = [line.split(maxsplit=2) for line in GOLDEN.read_text().splitlines()]
    return {line[0]: bytes.fromhex(line[1]) for line in lines if line and line[0] != "#"}


def same(a: Any, b: Any) -> bool:
    """Compare by type and content."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, dt.datetime):
        return a == b and a.isoformat() == b.isoformat() and str(a.tzinfo) == str(b.tzinfo)
    if isinstance(a, memoryview):
        return (a.format, a.shape, a.tobytes()) == (b.format, b.shape, b.tobytes())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return bool(a == b or repr(a) == repr(b))


def round_trip(value: Any) -> Any:
    return decode(encode(value))


def test_golden_file_and_table_have_the_same_names() -> None:
    assert list(golden()) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_value_is_written_as_the_golden_file_says(name: str) -> None:
    assert encode(CASES[name]).hex() == golden()[name].hex()


@pytest.mark.parametrize("name", CASES)
def test_value_of_the_golden_file_keeps_its_type(name: str) -> None:
    got = decode(golden()[name])
    want = CASES[name]
    if isinstance(want, Ext):
        assert (got.code, got.data) == (want.code, want.data)
    else:
        assert same(got, want), f"{got!r} != {want!r}"


@pytest.mark.parametrize("name", CASES)
def test_value_keeps_its_type_deep_inside(name: str) -> None:
    got = round_trip({"x": [(CASES[name],)]})["x"][0][0]
    if not isinstance(got, Ext):
        assert same(got, CASES[name])


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    at: tuple[int, ...] = (1,)


class Item(msgspec.Struct, rename="camel"):
    unit_price: decimal.Decimal
    note: str | msgspec.UnsetType = msgspec.UNSET


class Pair(NamedTuple):
    left: int
    right: str


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"when": dt.date(2024, 1, 1)}


class Frame:
    def to_dict(self) -> dict[str, Any]:
        return {"col": [1, 2]}


class Broken:
    def to_dict(self) -> dict[str, Any]:
        raise RuntimeError("no")

    def isoformat(self) -> str:
        return "2024"


class FakeAttr:
    def __init__(self, name: str) -> None:
        self.name = name


class Attrs:
    __attrs_attrs__ = (FakeAttr("a"),)
    a = 1


class Text(str):
    __slots__ = ()

    @override
    def __str__(self) -> str:
        return "lies"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Point(1), {"x": 1, "at": (1,)}),
        (Item(decimal.Decimal("1.0")), {"unitPrice": decimal.Decimal("1.0")}),
        (Pair(1, "x"), {"left": 1, "right": "x"}),
        (Model(), {"when": dt.date(2024, 1, 1)}),
        (Frame(), {"col": [1, 2]}),
        (Broken(), "2024"),
        (Attrs(), {"a": 1}),
        (Text("truth"), "truth"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.deque([1, (2,)]), [1, (2,)]),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (range(3), [0, 1, 2]),
        (pathlib.PurePosixPath("/x"), "/x"),
        (np.array([None, "x"], dtype=object), [None, "x"]),
        (np.zeros(1, dtype="i4,f8"), [(0, 0.0)]),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        ({1 << 70: 1}, {1 << 70: 1}),
        ({"\ud800": [1]}, {"\ud800": [1]}),
        ({True: 1, None: 2, 2.5: 3}, {True: 1, None: 2, 2.5: 3}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_rich_object_becomes_its_content(value: object, want: object) -> None:
    assert same(round_trip(value), want)


def a_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (test_golden_file_and_table_have_the_same_names, "function"),
        (a_generator(), "generator"),
        (Point, "type"),
        (sys, "module"),
        (threading.Lock(), "_thread.lock"),
        (unittest.mock.Mock(), "unittest.mock.Mock"),
        (range(10**9), "range"),
        (ValueError("x"), "ValueError"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_what_cannot_travel_becomes_a_marker(value: object, kind: str) -> None:
    assert round_trip([1, value]) == [1, Marker(type=kind)]


def test_marker_tells_no_repr_unless_asked() -> None:
    class Login:
        @override
        def __repr__(self) -> str:
            return "Login(user='ann', password='hunter2', key=sk-0123456789abcdef) " + "x" * 999

    assert decode(encode(Login())).repr is None
    text = decode(encode(Login(), reprs=True)).repr
    assert "ann" in text
    assert "hunter2" not in text
    assert "sk-0123456789abcdef" not in text
    assert len(text) <= 200


def test_cycle_becomes_a_marker() -> None:
    loop: list[Any] = [1]
    loop.append({"self": loop})
    assert round_trip(loop) == [1, {"self": Marker(type="list", why="it contains itself")}]


def test_shared_value_is_no_cycle() -> None:
    shared = (1,)
    assert round_trip([shared, shared]) == [(1,), (1,)]


def test_object_that_converts_to_itself_becomes_a_marker() -> None:
    class Endless:
        def to_dict(self) -> Any:
            return Endless()

    assert decode(encode(Endless())).type.endswith("Endless")


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,)])
def test_depth_is_bounded(wrap: Any) -> None:
    value: Any = 0
    for _ in range(codes.MAX_DEPTH):
        value = wrap(value)
    assert b"deeper" not in encode(value)
    assert same(round_trip(value), value)
    assert b"deeper than 128" in encode(wrap(value))


def test_plain_values_take_one_msgspec_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "Builder", None)
    assert round_trip({"a": [1, 2.5, "x", b"y", None, {"b": True}]})


@pytest.mark.parametrize("wrong", [{"a": [1, object()]}, {"a": ({1: object()},)}])
def test_strict_raises_with_the_path(wrong: object) -> None:
    errors = pytest.importorskip("snakepit.errors")
    with pytest.raises(errors.InvalidResultError, match=r"\$\.a\[\d\].*object"):
        encode(wrong, strict=True)


def test_strict_accepts_what_travels() -> None:
    assert decode(encode({"a": (1, dt.date(2024, 1, 1))}, strict=True))["a"][0] == 1


@pytest.mark.parametrize(
    "data",
    [
        "", "c1", "dc", "c0c0", "a1ff", "ddffffffff", "dfffffffff", "c6ffffffff", "c9ffffffff05",
        "d401ff", "c70001", "d40202", "d402ff", "d40341", "d40500", "d406ff", "d40700", "d408c0",
        "d408c1", "d40bc0", "d40ec0", "d40f90", "d41390", "d414c0", "c70309919091",
        # ndarrays: of objects, with a shape that doesn't fit, a negative one, a huge one
        "c7070e93a27c4f90c400", "c7090e93a37c75319102c400", "c70a0e93a37c753191ffc40100",
        "c70f0e93a37c753191cf7fffffffffffffffc400",
        "91" * 100_000 + "c0",
    ],
)  # fmt: skip
def test_bad_data_is_a_clear_error(data: str) -> None:
    with pytest.raises(DecodeError, match=r"^bad value: ."):
        decode(bytes.fromhex(data))


def test_random_data_never_raises_anything_else() -> None:
    rng = np.random.default_rng(1)
    seeds = [*golden().values()]
    for i in range(20_000):
        data = bytearray(seeds[i % len(seeds)])
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        with contextlib.suppress(DecodeError):
            decode(bytes(data))


def test_array_arrives_writable_and_aligned() -> None:
    got = round_trip({"x": "odd", "a": np.arange(3.0)})["a"]
    assert got.flags.writeable
    assert got.flags.aligned
    got[0] = 9


def test_array_with_any_strides_arrives_in_c_order() -> None:
    a = np.arange(12).reshape(3, 4)
    assert same(round_trip(a.T[::2]), np.ascontiguousarray(a.T[::2]))


def test_buffer_of_another_kind_arrives_as_a_memoryview() -> None:
    with mmap.mmap(-1, 4) as m:
        m[:] = b"abcd"
        got = round_trip(m)
    assert isinstance(got, memoryview)
    assert got.tobytes() == b"abcd"


def test_foreign_tensor_becomes_an_array() -> None:
    class Tensor:
        def detach(self) -> "Tensor":
            return self

        def cpu(self) -> "Tensor":
            return self

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array([1.5], dtype=np.float32)

    assert same(round_trip(Tensor()), np.array([1.5], dtype=np.float32))


def test_arrow_table_keeps_its_type() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    assert round_trip(table) == table
    batch = table.to_batches()[0]
    got = round_trip(batch)
    assert isinstance(got, pa.RecordBatch)
    assert got == batch


def test_pandas_values_keep_what_they_say() -> None:
    pd = pytest.importorskip("pandas")
    assert round_trip([pd.NaT, pd.NA]) == [None, None]
    assert round_trip(pd.DataFrame({"a": [1.5], "b": ["x"]})) == {"a": {0: 1.5}, "b": {0: "x"}}
    berlin = dt.datetime(2024, 1, 1, tzinfo=BERLIN)
    assert same(round_trip(pd.Timestamp(berlin)), berlin)


def test_msgpack_timestamp_is_read_as_utc() -> None:
    assert decode(bytes.fromhex("d6ff00000001")) == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)


def test_finer_digits_than_microseconds_are_cut() -> None:
    text = b"2024-02-29T12:30:00.123456789Z"
    got = decode(msgspec.msgpack.encode(Ext(codes.DATETIME, text)))
    assert got == dt.datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=dt.UTC)


def test_unknown_zone_keeps_the_instant() -> None:
    text = b"2024-02-29T12:30:00+01:00[Mars/Base]"
    got = decode(msgspec.msgpack.encode(Ext(codes.DATETIME, text)))
    assert got.utcoffset() == dt.timedelta(hours=1)
    moved = b"2024-07-01T12:30:00+05:00[Europe/Berlin]"
    got = decode(msgspec.msgpack.encode(Ext(codes.DATETIME, moved)))
    assert got == dt.datetime(2024, 7, 1, 7, 30, tzinfo=dt.UTC)
    assert got.tzinfo == BERLIN


def test_name_of_a_file_that_is_no_text_arrives_from_go() -> None:
    got = decode(msgspec.msgpack.encode(Ext(codes.TEXT, b"caf\xe9")))
    assert os.fsencode(got) == b"caf\xe9"


def test_dict_changed_by_another_thread_still_encodes() -> None:
    shared: dict[str, Any] = {str(i): (i,) for i in range(100)}
    stop = threading.Event()

    def churn() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            shared[f"x{i % 50}"] = i
            shared.pop(f"x{(i + 25) % 50}", None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            assert decode(encode(shared))["7"] == (7,)
    finally:
        stop.set()
        thread.join()
