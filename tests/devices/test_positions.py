"""Positions against tomllib: every value that it finds has a place, and the place is where the key is written."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.devices.positions import KeyPath, Position, Positions

TEXT = """\
# a comment
title = "x"
[console.match]  # before its parent
usb_serial = "7"
  "usb id".sub = 1

[console]
driver = "serial"
inline = { one = 1, two.three = [ 2,
  { four = 4 },   # comment
] }
text = '''
[leds]
fake = 1
'''
[ leds . "a b" ]
x = 1
[[many]]
y = 1
[[many]]
y = 2
[many.inner]
z = "é"
é_not = 1
""".replace("é_not", "zz")


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        (("title",), 2, 1),
        (("console", "match"), 3, 10),
        (("console", "match", "usb_serial"), 4, 1),
        (("console", "match", "usb id"), 5, 3),
        (("console", "match", "usb id", "sub"), 5, 12),
        (("console",), 7, 2),
        (("console", "inline"), 9, 1),
        (("console", "inline", "one"), 9, 12),
        (("console", "inline", "two"), 9, 21),
        (("console", "inline", "two", "three"), 9, 25),
        (("console", "inline", "two", "three", 0), 9, 35),
        (("console", "inline", "two", "three", 1, "four"), 10, 5),
        (("console", "text"), 12, 1),
        (("leds",), 16, 3),
        (("leds", "a b"), 16, 10),
        (("leds", "a b", "x"), 17, 1),
        (("many", 0, "y"), 19, 1),
        (("many", 1), 20, 3),
        (("many", 1, "y"), 21, 1),
        (("many", 1, "inner", "z"), 23, 1),
    ],
)
def test_each_key_is_found_where_it_is_written(path: KeyPath, line: int, column: int) -> None:
    assert Positions(TEXT).of(path) == Position(line=line, column=column)


def test_a_key_that_is_not_there_stands_at_the_table_around_it() -> None:
    assert Positions(TEXT).of(("console", "missing", "deeper")) == Position(line=7, column=2)


def test_without_any_key_the_start_of_the_text_is_given() -> None:
    assert Positions("").of(("console",)) == Position(line=1, column=1)


def test_columns_count_characters_not_bytes() -> None:
    assert Positions('a = { "ü€" = 1, b = 2 }').of(("a", "b")) == Position(line=1, column=17)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6)
VALUES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[ " + ", ".join(map(written, value)) + " ]"
    return str(value)


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def paths_of(value: Any, path: KeyPath) -> list[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in paths_of(item, (*path, key)))]


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_every_value_of_any_document_has_a_place_that_names_it(document: dict[str, Any]) -> None:
    lines = [f"{quoted(key)} = {written(value)}" for key, value in document.items()]
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    positions = Positions(text)
    for path in paths_of(document, ()):
        if path and isinstance(path[-1], str):
            place = positions.of(path)
            assert lines[place.line - 1][place.column - 1 :].startswith(quoted(path[-1]))


def test_a_place_is_as_wide_as_its_key() -> None:
    positions = Positions(TEXT)
    wide = {
        path: positions.of(path).width for path in [("console",), ("console", "match", "usb id", "sub"), ("many", 0)]
    }
    assert wide == {("console",): 7, ("console", "match", "usb id", "sub"): 3, ("many", 0): 4}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("console", "match", "usb_serial"), '"7"'),
        (("console", "inline", "two", "three", 0), "2"),
        (("console", "text"), "'''\n[leds]\nfake = 1\n'''"),
        (("many", 1, "inner", "z"), '"é"'),
    ],
)
def test_a_value_is_found_where_it_is_written(path: KeyPath, value: str) -> None:
    span = Positions(TEXT).value(path)
    assert span is not None
    assert TEXT[span.start : span.end] == value


def test_a_table_with_a_header_has_no_value() -> None:
    assert Positions(TEXT).value(("console",)) is None


def test_what_is_written_twice_is_found_with_its_first_place() -> None:
    twice = Positions("[a]\nb = 1\nb = 2\n[c]\n[a]\n[c.d]\nx.y = 1\nx.y = 2\n").twice
    assert [(one.path, one.place.line, one.first.line) for one in twice] == [
        (("a", "b"), 3, 2),
        (("a",), 5, 1),
        (("c", "d", "x", "y"), 8, 7),
    ]


def test_nothing_is_written_twice_in_a_good_text() -> None:
    assert Positions(TEXT).twice == []
