"""The JSON Schema of a bench's file, with the options of all installed drivers: for editors. Used by `labkit schema`.

It says what the reader says, as far as a schema can; the reader alone has the last word. It is written for people who
type: each key with its help, and nothing of how the options are built. Taplo, which most editors ask about TOML, offers
keys out of `anyOf` and not out of `if`, and drops what stands beside a `$ref`: so there is both, and no `$ref` below a
driver's own.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from labkit.devices.bench import BenchOptions
from labkit.devices.driver_rules import NAME, NAME_RULE
from labkit.devices.plugins import Plugins
from labkit.plugin import Driver

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def bench_schema(plugins: Plugins) -> Schema:
    """Return the schema of a bench's file, with a definition for each driver."""
    drivers = dict(sorted(plugins.drivers.items()))
    return {
        "$schema": DIALECT,
        "title": "A bench of labkit",
        "description": "The table [bench] describes the bench; each other table is a device.",
        "type": "object",
        "properties": {"bench": {**options_schema(BenchOptions), "description": "What the bench is called and has."}},
        "additionalProperties": {"$ref": "#/$defs/device"},
        "propertyNames": {"pattern": f"^{NAME.pattern}$", "description": f"{NAME_RULE[0].upper()}{NAME_RULE[1:]}."},
        "$defs": {
            "device": _device(drivers),
            **{kind: _options_of(kind, driver) for kind, driver in drivers.items()},
        },
    }


def _device(drivers: Mapping[str, type[Driver[Any]]]) -> Schema:
    """Any device: its driver's definition decides. `anyOf` forbids nothing."""
    return {
        "type": "object",
        "description": "A device.",
        "properties": {"driver": {"type": "string", "enum": [*drivers], "description": "Kind of the driver."}},
        "required": ["driver"],
        "allOf": [
            {"if": {"properties": {"driver": {"const": kind}}, "required": ["driver"]}, "then": _defined(kind)}
            for kind in drivers
        ],
        "anyOf": [*map(_defined, drivers), {}],
    }


def _defined(kind: str) -> Schema:
    return {"$ref": f"#/$defs/{kind}"}


def _options_of(kind: str, driver: type[Driver[Any]]) -> Schema:
    """The options of one driver; any keys at all where an author's types can't be described."""
    named = {"const": kind, "description": (driver.__doc__ or "").strip().split("\n")[0]}
    try:
        described = options_schema(driver.Options)
    except Exception:  # an author's types: anything can stand there
        return {"type": "object", "properties": {"driver": named}, "required": ["driver"]}
    described["properties"] = {"driver": named, **described["properties"]}
    described["required"] = ["driver", *described.get("required", ())]
    return described


def options_schema(model: type[BaseModel]) -> Schema:
    """The schema of one table, complete in itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a default that JSON can't say is left out
        made = model.model_json_schema(schema_generator=_Untitled)
    plain: Schema = _plain(made, made.pop("$defs", {}), ())
    plain.pop("title", None)
    return plain


class _Untitled(GenerateJsonSchema):
    """Without titles made of the fields' names, which say nothing new."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _plain(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Put definitions where they are used, and take away what TOML does not have: null."""
    if isinstance(schema, list):
        return [_plain(part, definitions, within) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name in within:
        return {"type": "object"}  # a model that has itself inside of it: its inner ones may be anything
    if name:
        own = {key: value for key, value in schema.items() if key != "$ref"}
        inner = {key: value for key, value in definitions[name].items() if key != "title"}
        return _plain({**copy.deepcopy(inner), **own}, definitions, (*within, name))
    return _without_null({key: _part(key, value, definitions, within) for key, value in schema.items()})


def _part(key: str, value: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if key in ("properties", "patternProperties") and isinstance(value, dict):  # its keys are people's words
        return {name: _plain(one, definitions, within) for name, one in value.items()}
    return value if key in ("default", "enum", "const", "examples", "required") else _plain(value, definitions, within)


def _without_null(schema: Schema) -> Schema:
    branches = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if len(branches) == len(schema.get("anyOf", ())):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {**rest, "anyOf": branches}
