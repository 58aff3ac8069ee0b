"""Values on their way through the store come back as they were, or are refused by where they stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import wire
from labkit.errors import NotStorableError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["$", "$bytes", "$$bytes", "$$"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_everything_comes_back(value: Any) -> None:
    text = wire.dumps(value)
    assert wire.loads(text) == value
    assert wire.loads(text.encode()) == value
    json.loads(text)


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True), st.integers(0, 2**53)))
def test_fences_come_back(fences: dict[str, int]) -> None:
    assert wire.load_fences(wire.dump_fences(fences)) == fences


def test_large_numbers_come_back_and_larger_ones_are_refused() -> None:
    for number in (10**4200, -(10**4200)):
        assert wire.loads(wire.dumps(number)) == number
        with pytest.raises(NotStorableError, match="too many digits"):
            wire.dumps(number * 10**100)


def test_what_a_user_calls_bytes_is_no_bytes() -> None:
    for value in ({"$bytes": "aGk="}, {"$bytes": 1, "x": 2}, {"$$bytes": b"x"}):
        assert wire.loads(wire.dumps(value)) == value


def test_tuples_come_back_as_lists_and_buffers_as_bytes() -> None:
    assert wire.loads(wire.dumps((1, (2,)))) == [1, [2]]
    assert wire.loads(wire.dumps([bytearray(b"a"), memoryview(b"b")])) == [b"a", b"b"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), object(), {1, 2}, 1j, Exception("x")])
def test_what_can_not_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(NotStorableError):
        wire.dumps(value)


def test_refusal_says_where_it_stands() -> None:
    with pytest.raises(NotStorableError, match=r"value\['a'\]\[1\]\['b'\] is of type set"):
        wire.dumps({"a": [0, {"b": {1}}]})
    with pytest.raises(NotStorableError, match=r"result is of type set"):
        wire.dumps({1}, "result")
    with pytest.raises(NotStorableError, match="key 1; only text"):
        wire.dumps({1: 2})


def test_what_is_nested_too_deep_or_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotStorableError, match="nested deeper than 64"):
        wire.dumps(endless)


def test_no_code_comes_in() -> None:
    assert wire.loads('{"__reduce__": ["os.system", "x"]}') == {"__reduce__": ["os.system", "x"]}
