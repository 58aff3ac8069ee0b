"""Arguments to try a command with, made up from its schema where the test says none. Used by `subject`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from labkit.devices.driver_rules import schema_of
from labkit.plugin import CommandSpec

TIMES = {"timeout": 60.0, "seconds": 60.0, "duration": 60.0, "ms": 60_000.0, "milliseconds": 60_000.0}
"""Names of arguments that say how long a command takes, with what a minute is in their unit."""
_SHORT = 0.02
_TEXT = "x"


def short_sample(spec: CommandSpec) -> dict[str, Any]:
    """Plausible arguments with which the command is soon over; defaults stay, but those that say how long."""
    return _sample(spec, longest=False)


def long_sample(spec: CommandSpec) -> dict[str, Any] | None:
    """The same, with which it takes a minute, or as long as it may; None where no argument says how long."""
    if not any(name in TIMES for name in _properties(spec)):
        return None
    return _sample(spec, longest=True)


def _properties(spec: CommandSpec) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema_of(spec).get("properties", {})
    return found


def _sample(spec: CommandSpec, *, longest: bool) -> dict[str, Any]:
    schema = schema_of(spec)
    definitions = schema.get("$defs", {})
    kinds = inspect.get_annotations(spec.function, eval_str=True)
    made: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        if name in TIMES:
            value = _time(field, TIMES[name], longest)
        elif name in schema.get("required", ()):
            value = _plausible(field, definitions)
        else:
            continue
        made[name] = _as_python(kinds.get(name, Any), value)
    return made


def _time(field: Mapping[str, Any], minute: float, longest: bool) -> float | int:
    low, high = _limits(field)
    wanted = min(minute, high) if longest else max(min(minute / 60 * _SHORT, high), low)
    return max(1, round(wanted)) if field.get("type") == "integer" else wanted


def _limits(field: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the most that a number may be."""
    step = 1 if field.get("type") == "integer" else 1e-3
    low = field.get("minimum", field.get("exclusiveMinimum", -step) + step)
    high = field.get("maximum", field.get("exclusiveMaximum", float("inf")) - step)
    return max(low, 0.0) if high >= 0 else low, high


def _plausible(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if "$ref" in field:
        return _plausible(definitions.get(field["$ref"].rpartition("/")[2], {}), definitions)
    for choices in ("anyOf", "oneOf", "allOf"):
        if field.get(choices):
            return _plausible(field[choices][0], definitions)
    if "const" in field or "enum" in field:
        return field["const"] if "const" in field else field["enum"][0]
    kind = field.get("type", "")
    if kind == "object":
        inner = field.get("properties", {})
        return {name: _plausible(inner.get(name, {}), definitions) for name in field.get("required", ())}
    if kind == "array":
        return [_plausible(field.get("items", {}), definitions)] * field.get("minItems", 1)
    if kind in ("integer", "number"):
        low, high = _limits(field)
        return int(min(max(low, 1), high)) if kind == "integer" else min(max(low, 1.0), high)
    plain = {"boolean": True, "null": None}
    return plain[kind] if kind in plain else _TEXT * max(1, field.get("minLength", 1))


def _as_python(kind: Any, value: Any) -> Any:
    """What JSON says, as the command takes it: bytes, tuples, enums, models. As it is, where that can't be."""
    if kind is bytes:
        return value.encode()
    try:
        return TypeAdapter(kind).validate_python(value)
    except Exception:  # an author's type: anything can stand there, and the command will say what it thinks of it
        return value
