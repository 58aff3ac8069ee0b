"""Where secrets are, in what a declaration says and in the options made of it. Used by the reader of a bench.

A table that a driver refuses has no options yet, and what is wrong with it is shown all the same; so secrets are found
by the types of the driver's options, also under a key that is only nearly right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from labkit.devices.nearest import nearest
from labkit.devices.positions import KeyPath
from labkit.devices.types_of import fields, types_in
from labkit.plugin import Secret
from labkit.plugin.secret import HIDDEN

_NAMES = ("env", "file")
"""Keys of a secret's table: what they say may be read by everybody."""

SHORT = 4
"""A secret with fewer characters is not looked for inside of sentences: it would be found everywhere."""


def secrets_of(options: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Secret]]:
    """Every secret in a driver's options, with the keys that lead to it."""
    if isinstance(options, Secret):
        yield path, options
    elif isinstance(options, BaseModel):
        for name, field in type(options).model_fields.items():
            yield from secrets_of(getattr(options, name), (*path, field.alias or name))
    elif isinstance(options, Mapping):
        for key, value in options.items():
            yield from secrets_of(value, (*path, str(key)))
    elif isinstance(options, (list, tuple)):
        for index, value in enumerate(options):
            yield from secrets_of(value, (*path, index))


def plain_secrets(model: type[BaseModel], table: Mapping[str, Any]) -> dict[KeyPath, Any]:
    """What a table says where its model has a secret, by the keys that lead there; the names of sources are none."""
    return dict(_plain([model], table, ()))


def _plain(annotations: Iterable[Any], value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    found = [*types_in(annotations)]
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not (Secret in found and key in _NAMES):
                yield from _plain(_below(found, annotations, key), inner, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _plain(annotations, inner, (*path, index))
    elif Secret in found:
        yield path, value


def _below(found: Iterable[type], annotations: Iterable[Any], key: str) -> list[Any]:
    """The types that a key's value may have; those of the nearest key where there is none of that name."""
    known = {name: field for one in found if issubclass(one, BaseModel) for name, field in fields(one).items()}
    field = known.get(key) or known.get(nearest(key, known))
    return [field.annotation] if field is not None else [*annotations]


def secret_keys(models: Iterable[type[BaseModel]]) -> set[str]:
    """The keys under which these models, or models inside of them, have secrets."""
    names: set[str] = set()
    waiting, seen = [*models], set[type]()
    while waiting:
        model = waiting.pop()
        seen.add(model)
        for name, field in fields(model).items():
            found = {*types_in([field.annotation])}
            names |= {name} if Secret in found else set()
            waiting += [one for one in found - seen if issubclass(one, BaseModel)]
    return names


def without(value: Any, secrets: Collection[Any]) -> Any:
    """The same value with `***` for every secret in it, at any depth."""
    if isinstance(value, Mapping):
        return {key: without(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without(inner, secrets) for inner in value]
    return HIDDEN_VALUE if any(type(value) is type(one) and value == one for one in secrets) else value


def hidden_in(sentence: str, secrets: Iterable[Any]) -> str:
    """The sentence of an author's own check, with `***` for every secret that it repeats."""
    for text in sorted(map(str, secrets), key=len, reverse=True):
        if len(text) >= SHORT:
            sentence = sentence.replace(text, HIDDEN)
    return sentence


class _HiddenValue:
    """Stands for a secret in a value that is shown."""

    def __repr__(self) -> str:
        return HIDDEN


HIDDEN_VALUE = _HiddenValue()
