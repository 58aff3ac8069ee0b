"""Declarations that nobody would write: each is taken, or refused with all that is wrong, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.declarations import GOOD, VALUES, look, mutated, texts

some = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_good_declarations_are_good(tmp_path: Path, number: int) -> None:
    assert look(tmp_path, GOOD[number].encode()) == "taken"


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_value_that_nobody_would_write_is_taken_or_refused(tmp_path: Path, value: str) -> None:
    assert look(tmp_path, f"[console]\ndriver = {value}\n".encode()) == "refused"
    look(tmp_path, f'[console]\ndriver = "serial"\nsafe = {value}\nport = {value}\n'.encode())
    look(tmp_path, f"[console]\na = 1\na = 1\nb = {value}\n".encode())  # the mistake before it is what is found first


@some
@given(text=mutated())
def test_good_declaration_that_was_mutated_is_taken_or_refused(tmp_path: Path, text: str) -> None:
    look(tmp_path, text.encode("utf-8", "surrogatepass"))


@some
@given(content=texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
def test_any_file_is_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    look(tmp_path, content)
