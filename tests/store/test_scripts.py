"""The Lua scripts: each loads, says what it takes and gives, is used, and keeps the rules of the store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.store import scripts
from labkit.store.connection import Store
from labkit.store.keys import FAMILIES

FOLDER = Path(scripts.__file__).parent / "lua"
EVERY = sorted(path.stem for path in FOLDER.glob("*.lua"))
SOURCES = {name: (FOLDER / f"{name}.lua").read_text() for name in EVERY}
INCLUDED = {name for source in SOURCES.values() for name in re.findall(r"^--@include (\w+)$", source, re.MULTILINE)}
LIBRARIES = {"prelude", *INCLUDED}
RUN = [name for name in EVERY if name not in LIBRARIES]
PYTHON = {path: path.read_text() for path in FOLDER.parent.glob("*.py")}


def code(source: str) -> str:
    """A script without its comments."""
    return re.sub(r"--[^\n]*", "", source)


@pytest.mark.parametrize("name", RUN)
def test_script_loads(store: Store, name: str) -> None:
    loaded = store.command("SCRIPT", "LOAD", scripts.script_source(name))
    assert loaded.decode() == scripts.script_hash(name)


@pytest.mark.parametrize("name", EVERY)
def test_script_begins_with_a_sentence(name: str) -> None:
    first = SOURCES[name].splitlines()[0]
    assert re.match(r"-- [A-Z].*[.:?]", first), first


@pytest.mark.parametrize("name", RUN)
def test_script_says_what_it_takes_and_gives(name: str) -> None:
    header = "".join(line for line in SOURCES[name].splitlines(keepends=True) if line.startswith("--"))
    assert re.search(r"^-- ARGV: time", header, re.MULTILINE), header
    gives = re.search(r"^\s*return \S", code(SOURCES[name]), re.MULTILINE)
    always_ok = set(re.findall(r"^\s*return (.+)$", code(SOURCES[name]), re.MULTILINE)) == {'"ok"'}
    assert not gives or always_ok or re.search(r"^-- Returns: \S", header, re.MULTILINE), header


@pytest.mark.parametrize("name", RUN)
def test_script_is_run_by_the_store(name: str) -> None:
    assert any(re.search(rf'"{name}"', text) for text in PYTHON.values())


def test_every_script_that_is_run_exists() -> None:
    asked = {found for text in PYTHON.values() for found in re.findall(r'\.run\(\s*"(\w+)"', text)}
    assert asked
    assert asked <= set(RUN)


@pytest.mark.parametrize("name", EVERY)
def test_script_names_only_known_keys_and_none_by_itself(name: str) -> None:
    known = {family for family, _ in FAMILIES}
    text = code(SOURCES[name])
    assert set(re.findall(r"\bK\.(\w+)", text)) <= known
    assert set(re.findall(r'\bof\("(\w+)"', text)) <= known
    assert not re.search(r"\bKEYS\[", text)


@pytest.mark.parametrize("name", EVERY)
def test_script_scans_no_keys_and_makes_no_json(name: str) -> None:
    text = code(SOURCES[name])
    assert not re.search(r'call\("(KEYS|SCAN|HSCAN|SSCAN|ZSCAN)"', text)
    assert "cjson" not in text


@pytest.mark.parametrize("name", [name for name in EVERY if name != "prelude"])
def test_script_asks_for_the_time_only_in_the_prelude(name: str) -> None:
    assert '"TIME"' not in code(SOURCES[name])
    assert "ARGV[1]" not in code(SOURCES[name])


def test_script_is_found_again_after_the_store_forgot_it(store: Store) -> None:
    assert store.run("session_seen", "nobody") == 0
    store.command("SCRIPT", "FLUSH")
    assert store.run("session_seen", "nobody") == 0
