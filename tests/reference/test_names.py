"""Every name of the reference is in labkit, is what it is said to be, and takes what it is said to take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.local import LocalProxy

import labkit
from tests.reference.names import NAMES, NEEDED, SOME, Kind, differences

CALLABLE = (Kind.CLASS, Kind.FUNCTION, Kind.METHOD)


def member(name: str) -> Any:
    """A member of a class as the class has it, unbound; of a user that anybody may make, as its object has it."""
    owner, _, own = name.partition(".")
    made = getattr(labkit, owner)
    return inspect.getattr_static(made() if owner == "AnonymousUser" else made, own)


def found(name: str) -> Any:
    return member(name) if "." in name else getattr(labkit, name)


def kind_of(name: str) -> Kind:
    thing = found(name)
    if "." in name:
        return Kind.METHOD if inspect.isfunction(thing) else Kind.PROPERTY
    if type(thing) is LocalProxy:
        return Kind.OBJECT
    if inspect.isclass(thing):
        return Kind.ERROR if issubclass(thing, Exception) else Kind.CLASS
    return Kind.FUNCTION if inspect.isfunction(thing) else Kind.OBJECT


@pytest.mark.parametrize("name", NAMES)
def test_name_is_there_and_is_what_it_is_said_to_be(name: str) -> None:
    assert kind_of(name) is NAMES[name].kind
    assert name.partition(".")[0] in labkit.__all__


@pytest.mark.parametrize("name", [name for name, row in NAMES.items() if row.parameters is not None])
def test_name_takes_what_it_is_said_to_take(name: str) -> None:
    assert NAMES[name].kind in CALLABLE
    assert differences(NAMES[name].parameters or {}, found(name)) == []


def test_all_that_can_be_called_says_what_it_takes() -> None:
    silent = [
        name for name, row in NAMES.items() if row.kind in (Kind.FUNCTION, Kind.METHOD) and row.parameters is None
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("here", "reasons"),
    [
        (lambda a, b=1: None, []),
        (lambda a=0, b=1, more=2, *rest, **named: None, []),
        (lambda x, b=1: None, ["parameter 1 is not a"]),
        (lambda b, a=1: None, ["parameter 1 is not a", "parameter 2 is not b"]),
        (lambda a: None, ["parameter 2 is not b"]),
        (lambda a, b: None, ["b has no default"]),
        (lambda a, b=2: None, ["the default of b is 2, not 1"]),
        (lambda a, /, b=1: None, ["a can't be given both by place and by name"]),
        (lambda a, b=1, *, more: None, ["more is needed too"]),
    ],
)
def test_other_signature_is_noticed(here: Callable[..., None], reasons: list[str]) -> None:
    assert differences({"a": NEEDED, "b": 1}, here) == reasons


def test_default_that_is_not_named_has_to_be_there() -> None:
    assert differences({"a": SOME}, lambda a=object: None) == []
    assert differences({"a": SOME}, lambda a: None) == ["a has no default"]
