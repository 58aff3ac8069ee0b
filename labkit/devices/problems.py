"""What is wrong with a declaration, in plain words. Used by the declaration reader.

A `Complaint` says what is wrong with one table; the reader knows file and line and makes a `Problem` of it. pydantic
finds what is wrong; here its findings get the words of somebody who writes TOML, and the nearest known word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from labkit.devices.excerpt import Excerpt
from labkit.devices.nearest import nearest
from labkit.devices.positions import KeyPath
from labkit.devices.secrets import hidden_in, plain_secrets, without
from labkit.devices.toml_text import as_toml
from labkit.devices.types_of import keys_at
from labkit.plugin import OptionError

__all__ = ["Complaint", "Problem", "Severity", "explain", "nearest", "quoted", "shortened", "shown"]

_POINTED = "option_error"
"""Type of a finding that an `OptionError` placed."""

MAX_VALUE = 60
"""Characters of a wrong value, or of a name, that a message repeats."""


class Severity(StrEnum):
    """Whether a lab starts all the same."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in one file. `str()` is the line that people read.

    file: as it is shown, mostly relative to the folder that holds `devices`. where: the table, empty where the file as
    a whole is meant; then the text gives the column too. key: the keys from the table on. suggestion: the nearest
    known word, or empty. excerpt: the line itself.
    """

    file: str
    line: int
    column: int
    where: str
    message: str
    suggestion: str = ""
    key: str = field(default="", compare=False)
    severity: Severity = Severity.PROBLEM
    excerpt: Excerpt | None = field(default=None, compare=False, repr=False)

    @property
    def sentence(self) -> str:
        """What is wrong, with the word that was probably meant."""
        return f"{self.message} Did you mean {self.suggestion}?" if self.suggestion else self.message

    def __str__(self) -> str:
        place = f"{self.line}: [{self.where}]" if self.where else f"{self.line}:{self.column}:"
        return f"{self.file}:{place} {self.sentence}"


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What is wrong in one table; `path` leads from the table to the key, and is empty for the table as a whole."""

    path: KeyPath
    message: str
    suggestion: str = ""


def explain(error: ValidationError, model: type[BaseModel], table: dict[str, Any]) -> list[Complaint]:
    """Say in plain words all that pydantic found wrong in a table: a complaint for each mistake, and no secret."""
    secrets = plain_secrets(model, table).values()
    details = error.errors(include_url=False)
    located = [found for one in details for found in _pointed_at(_locate(one, table, secrets), one, secrets)]
    settled = list(_settle(located))
    meant = {(*one.path[:-1], _suggestion(one, model)) for one in settled if one.type == "extra_forbidden"}
    return [_complaint(one, model) for one in settled if not (one.type == "missing" and one.path in meant)]


def shown(path: KeyPath) -> str:
    """Write a path as people do: `match.usb_id`, `features[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in path)
    return text.removeprefix(".")


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """One error of pydantic. `branches`: where a union was tried, with pydantic's name for what was tried."""

    path: KeyPath
    branches: tuple[tuple[KeyPath, str], ...]
    type: str
    text: str
    value: Any
    context: dict[str, Any]


def _locate(details: ErrorDetails, table: dict[str, Any], secrets: Collection[Any]) -> _Finding:
    """Tell the parts of pydantic's location that are keys of the document from those that are branches of a union."""
    path: KeyPath = ()
    branches: list[tuple[KeyPath, str]] = []
    value: Any = table
    kind, location = details["type"], details["loc"]
    for index, part in enumerate(location):
        if isinstance(value, dict) and part in value:
            path, value = (*path, part), value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = (*path, part), value[part]
        elif kind == "missing" and index == len(location) - 1:
            path = (*path, part)
        elif part != "[key]":
            branches.append((path, str(part)))
    return _Finding(
        path=path,
        branches=tuple(branches),
        type=kind,
        text=_plain(details) if kind in _PLAIN else hidden_in(_plain(details), secrets),
        value=without(details["input"], secrets),
        context=details.get("ctx", {}),
    )


def _pointed_at(found: _Finding, details: ErrorDetails, secrets: Collection[Any]) -> Iterator[_Finding]:
    """The findings themselves where an author's own check points at keys."""
    error = details.get("ctx", {}).get("error")
    if not isinstance(error, OptionError):
        yield found
        return
    for one in (error, *error.others):
        yield replace(
            found,
            path=(*found.path, *one.path),
            type=_POINTED,
            text=hidden_in(one.message.rstrip("."), secrets),
            context={"known": one.known, "suggestion": one.suggestion},
        )


def _settle(findings: Sequence[_Finding]) -> Iterator[_Finding]:
    """Make one finding of all that a union's branches say about one value.

    Where a branch looked inside the value (it is a table, as that branch wants), its findings stand and the others' go;
    else all of them are joined with "or".
    """
    unions: dict[KeyPath, dict[str, list[_Finding]]] = {}
    for one in findings:
        if not one.branches:
            yield one
            continue
        (place, branch), *rest = one.branches
        unions.setdefault(place, {}).setdefault(branch, []).append(replace(one, branches=tuple(rest)))
    for place, branches in unions.items():
        inside = [group for group in branches.values() if any(len(one.path) > len(place) for one in group)]
        if inside:
            yield from _settle(min(inside, key=len))
        else:
            yield _joined([one for group in branches.values() for one in _settle(group)])


def _joined(findings: Sequence[_Finding]) -> _Finding:
    texts = list(dict.fromkeys(one.text for one in findings))
    text = " or ".join([texts[0], *(other.removeprefix("must be ") for other in texts[1:])])
    return replace(findings[0], text=text)


def _complaint(one: _Finding, model: type[BaseModel]) -> Complaint:
    suggestion = _suggestion(one, model)
    key = f"{shown(one.path)}: " if one.path else ""
    text = "unknown key" if one.type == "extra_forbidden" else one.text
    known = "" if suggestion else _known_here(one, model)
    return Complaint(path=one.path, message=f"{key}{text}{_seen(one)}.{known}", suggestion=suggestion)


def _seen(one: _Finding) -> str:
    if one.type in ("missing", "extra_forbidden", _POINTED) or not one.path:
        return ""
    if one.type in ("value_error", "assertion_error"):
        return f" (it is {quoted(one.value)})"
    return f", not {quoted(one.value)}"


def _suggestion(one: _Finding, model: type[BaseModel]) -> str:
    if one.type == "extra_forbidden":
        return nearest(str(one.path[-1]), sorted(keys_at(model, one.path[:-1])))
    if one.type == _POINTED:
        last = str(one.path[-1]) if one.path else ""
        return str(one.context["suggestion"] or nearest(last, one.context["known"]))
    if one.type in ("literal_error", "enum") and isinstance(one.value, str):
        return nearest(one.value, re.findall(r"'([^']*)'", str(one.context.get("expected", ""))))
    return ""


def _known_here(one: _Finding, model: type[BaseModel]) -> str:
    known: Sequence[str] = ()
    if one.type == "extra_forbidden":
        known = sorted(keys_at(model, one.path[:-1]))
    elif one.type == _POINTED:
        known = one.context["known"]
    return f" Known here: {', '.join(known)}." if known else ""


_PLAIN = {
    "missing": "missing key; it has to be given",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text in quotes",
    "path_type": "must be text in quotes",
    "list_type": "must be a list in brackets",
    "tuple_type": "must be a list in brackets",
    "set_type": "must be a list in brackets",
    "frozen_set_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dataclass_type": "must be a table",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "union_tag_not_found": "needs the key {discriminator}",
    "union_tag_invalid": "needs one of {expected_tags} as its {discriminator}",
    "string_pattern_mismatch": "must match {pattern}",
}


def _plain(details: ErrorDetails) -> str:
    words = _PLAIN.get(details["type"])
    if words is not None:
        return words.format_map(details.get("ctx", {}))
    text = re.sub(r"^(Value error|Assertion failed), ", "", details["msg"])
    text = re.sub(r"^\w+ should ", "must ", text).rstrip(".")
    return text or "is refused by the driver"


def quoted(value: Any) -> str:
    """Write a value as its TOML would stand, at most `MAX_VALUE` characters of it."""
    return shortened(as_toml(value, str))


def shortened(text: str) -> str:
    """A text from a declaration, at most `MAX_VALUE` characters of it."""
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "..."
