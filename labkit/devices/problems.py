"""What is wrong with a declaration, in plain words. Used by the declaration reader.

A `Complaint` says what is wrong with one table; the reader knows file and line and makes a `Problem` of it. pydantic
finds what is wrong; here its findings get the words of somebody who writes TOML, and the nearest known word.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from labkit.devices.positions import KeyPath

MAX_VALUE = 60
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in one file. `str()` is the line that people read.

    file: relative to the folder that holds `devices`. where: the table, empty where the file as a whole is meant; then
    the text gives the column too. suggestion: the nearest known word, or empty.
    """

    file: str
    line: int
    column: int
    where: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"{self.line}: [{self.where}]" if self.where else f"{self.line}:{self.column}:"
        hint = f" Did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.file}:{place} {self.message}{hint}"


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What is wrong in one table; `path` leads from the table to the key, and is empty for the table as a whole."""

    path: KeyPath
    message: str
    suggestion: str = ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty text."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1)
    return found[0] if found else ""


def explain(error: ValidationError, model: type[BaseModel], table: dict[str, Any]) -> list[Complaint]:
    """Say in plain words all that pydantic found wrong in a table; one mistake gives one complaint."""
    located = [_locate(finding, table) for finding in error.errors(include_url=False)]
    settled = list(_settle(located))
    meant = {(*one.path[:-1], _suggestion(one, model)) for one in settled if one.type == "extra_forbidden"}
    return [_complaint(one, model) for one in settled if not (one.type == "missing" and one.path in meant)]


def shown(path: KeyPath) -> str:
    """Write a path as people do: `match.usb_id`, `features[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
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


def _locate(details: ErrorDetails, table: dict[str, Any]) -> _Finding:
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
        text=_plain(details),
        value=details["input"],
        context=details.get("ctx", {}),
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
        inner = _Finding(**{**vars(one), "branches": tuple(rest)})
        unions.setdefault(place, {}).setdefault(branch, []).append(inner)
    for place, branches in unions.items():
        inside = [group for group in branches.values() if any(len(one.path) > len(place) for one in group)]
        if inside:
            yield from _settle(min(inside, key=len))
        else:
            yield _joined([one for group in branches.values() for one in _settle(group)])


def _joined(findings: Sequence[_Finding]) -> _Finding:
    texts = list(dict.fromkeys(one.text for one in findings))
    text = " or ".join([texts[0], *(other.removeprefix("must be ") for other in texts[1:])])
    return _Finding(**{**vars(findings[0]), "text": text})


def _complaint(one: _Finding, model: type[BaseModel]) -> Complaint:
    suggestion = _suggestion(one, model)
    key = f"{shown(one.path)}: " if one.path else ""
    if one.type == "extra_forbidden":
        known = "" if suggestion else f" Known here: {', '.join(sorted(_known_keys(model, one.path[:-1])))}."
        return Complaint(path=one.path, message=f"{key}unknown key.{known}", suggestion=suggestion)
    return Complaint(path=one.path, message=f"{key}{one.text}{_seen(one)}.", suggestion=suggestion)


def _seen(one: _Finding) -> str:
    if one.type == "missing" or not one.path:
        return ""
    if one.type in ("value_error", "assertion_error"):
        return f" (it is {as_toml(one.value)})"
    return f", not {as_toml(one.value)}"


def _suggestion(one: _Finding, model: type[BaseModel]) -> str:
    if one.type == "extra_forbidden":
        return nearest(str(one.path[-1]), sorted(_known_keys(model, one.path[:-1])))
    if one.type in ("literal_error", "enum") and isinstance(one.value, str):
        return nearest(one.value, re.findall(r"'([^']*)'", str(one.context.get("expected", ""))))
    return ""


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


def as_toml(value: Any) -> str:
    """Write a value as its TOML would stand, at most `MAX_VALUE` characters of it."""
    text = _toml(value)
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + "..."


def _toml(value: Any) -> str:
    if isinstance(value, (str, bool)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def _known_keys(model: type[BaseModel], path: KeyPath) -> set[str]:
    """The keys that the table at `path` may have, found through annotations, with lists and dicts on the way."""
    annotations: list[Any] = [model]
    for part in path:
        fields = [keys[str(part)] for keys in map(_fields, _models(annotations)) if part in keys]
        annotations = [field.annotation for field in fields] or annotations
    return {key for found in _models(annotations) for key in _fields(found)}


def _models(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from _models(get_args(annotation))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}
