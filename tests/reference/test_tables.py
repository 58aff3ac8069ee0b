"""The tables and the tests agree: each name promises something, each promise is proven, nothing else is claimed.

The tests are found by importing the modules of this folder, so it makes no difference which of them were collected.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reference.names import NAMES
from tests.reference.promises import PROMISES, keeps

PROMISED = {(name, promise) for name, promises in PROMISES.items() for promise in promises}


def proofs() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every test of a promise, with where it stands."""
    for path in sorted(Path(__file__).parent.glob("test_promises_*.py")):
        module = importlib.import_module(f"tests.reference.{path.stem}")
        for name, thing in vars(module).items():
            if name.startswith("test_") and callable(thing):
                yield f"{path.name}::{name}", thing


def kept(test: Callable[..., Any]) -> set[tuple[str, str]]:
    """What a test keeps; one that may be skipped, or is expected to fail, keeps nothing."""
    marks = {mark.name for mark in getattr(test, "pytestmark", [])}
    return set() if marks & {"skip", "skipif", "xfail"} else set(getattr(test, "kept", ()))


def test_each_name_promises_something() -> None:
    assert set(PROMISES) == set(NAMES)
    assert [name for name, promises in PROMISES.items() if not promises] == []
    assert [name for name, promises in PROMISES.items() if max(Counter(promises).values()) > 1] == []


def test_each_promise_is_kept_by_a_test() -> None:
    proven = {promise for _, test in proofs() for promise in kept(test)}
    assert sorted(PROMISED - proven) == []


def test_each_test_keeps_what_is_promised_and_nothing_else() -> None:
    wrong = {where: claimed for where, test in proofs() if (claimed := set(getattr(test, "kept", ())) - PROMISED)}
    assert wrong == {}
    assert [where for where, test in proofs() if not kept(test)] == []


def test_test_that_is_skipped_keeps_nothing() -> None:
    @keeps("poll", "one", "two")
    @keeps("logout", "three")
    def test() -> None: ...

    assert kept(test) == {("poll", "one"), ("poll", "two"), ("logout", "three")}
    assert kept(pytest.mark.skip("later")(test)) == set()
