"""Writes what was found as a bench's file, to be pasted and pruned. Used by `devices scan --toml`.

What it writes passes `labkit check`: hardware that is declared already, or that needs more than was found out about
it, stands there as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from labkit.devices.driver_rules import NAME
from labkit.devices.hardware import Seen, takes_of
from labkit.devices.toml_text import as_toml, key_as_toml
from labkit.log_text import plain
from labkit.plugin import Driver, Found

_LONGEST = 40  # characters of a device's name, see NAME
_LONGEST_LINE = 90
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_HEAD = """\
# What `labkit devices scan` found here. Keep what belongs together on one bench, give the devices the names that your
# lab calls them by, say what is safe for each, and save it as devices/NAME.toml.
"""


def bench_draft(seen: Iterable[Seen], drivers: Mapping[str, type[Driver[Any]]]) -> str:
    """The text of a bench's file with a table for each thing that can be declared."""
    names, taken, parts = _Names(), set[str](), [_HEAD]
    for one in seen:
        driver = drivers[one.kind]
        obstacle = _obstacle(one, driver, taken)
        if obstacle:
            parts.append("".join([*_comments(one.found), _comment(obstacle)]))
        else:
            taken |= takes_of(one.found, driver)
            parts.append("".join([*_comments(one.found), *_table(names.name(one), one)]))
    return "\n".join(parts)


def _obstacle(one: Seen, driver: type[Driver[Any]], taken: set[str]) -> str:
    """Why this is no table of its own; '' where it is one."""
    if one.declared:
        return f"declared already: {', '.join(one.declared)}"
    try:
        as_toml(one.found.options)
        driver.Options.model_validate(dict(one.found.options))
    except Exception as error:  # an author's options and validators
        return f'driver = "{one.kind}" needs more than was found: {_reason(error)}'
    twice = takes_of(one.found, driver) & taken
    return f"means the same as a table above: {', '.join(sorted(twice))}" if twice else ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False)
        return "; ".join(": ".join(filter(None, [".".join(map(str, one["loc"])), one["msg"]])) for one in details)
    return f"{type(error).__name__}: {error}"


class _Names:
    """Gives each device a name that tells what it is, and no name twice."""

    def __init__(self) -> None:
        self._given = {"bench"}

    def name(self, one: Seen) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", one.found.title.lower()).strip("-")[:_LONGEST].strip("-") or one.kind
        name, number = stem, 1
        while name in self._given or not NAME.fullmatch(name):
            number += 1
            ending = f"-{number}"
            name = stem[: _LONGEST - len(ending)] + ending
        self._given.add(name)
        return name


def _comments(found: Found) -> Iterator[str]:
    yield _comment(found.title)
    yield _comment(found.path)
    if found.trouble:
        yield _comment(f"trouble: {found.trouble}. {found.remedy}".rstrip())


def _comment(text: str) -> str:
    return f"# {plain(_CONTROL.sub(' ', text))}\n"


def _table(name: str, one: Seen) -> Iterator[str]:
    """A device's table; a long table inside it becomes one of its own, as nobody edits lines of 300 characters."""
    options = one.found.options
    long = [key for key, value in options.items() if isinstance(value, Mapping) and len(as_toml(value)) > _LONGEST_LINE]
    yield f"[{name}]\n"
    yield f"driver = {as_toml(one.kind)}\n"
    yield from _lines({key: value for key, value in options.items() if key not in long})
    for key in long:
        yield f"[{name}.{key_as_toml(key)}]\n"
        yield from _lines(options[key])


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key_as_toml(str(key))} = {as_toml(value)}\n" for key, value in table.items())
