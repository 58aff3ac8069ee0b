"""A driver's page in Markdown: what a declaration may say, its commands, its feeds. Made from the class alone.

Used by `labkit driver doc` and by docs/generate.py for the bundled drivers' part of docs/reference/drivers.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from labkit.plugin import CommandSpec, Driver, DriverOptions, commands_of, feeds_of

Row = tuple[str, ...]


def driver_page(driver: type[Driver[Any]], origin: str = "") -> str:
    """The whole page, with the keys that every device has. origin: where the driver comes from."""
    parts = list(driver_parts(driver))
    head = f"# `{driver.kind}`" + (f"\n\nFrom {origin}." if origin else "")
    own = driver.Options.model_fields
    common = [row for row in common_keys() if row[0].strip("`") not in own or row in option_rows(driver.Options)]
    everywhere = table(("Key", "Default", "Meaning"), common)
    return "\n\n".join([head, *parts[1:], "Keys that every device has:", everywhere]) + "\n"


def driver_parts(driver: type[Driver[Any]]) -> Iterator[str]:
    """Its heading, what it is, and its tables of options, commands and feeds; those that are empty are left out."""
    yield f"## `{driver.kind}`"
    yield inspect.getdoc(driver) or ""
    common = set(option_rows(DriverOptions))
    options = [row for row in option_rows(driver.Options) if row not in common]
    commands = [(f"`{c.name}{usage(c)}`", "yes" if c.panel else "", c.help) for c in commands_of(driver).values()]
    feeds = [(f"`{feed.name}`", f"`{type_name(feed.type)}`", feed.help) for feed in feeds_of(driver).values()]
    for heads, rows in (
        (("Key", "Default", "Meaning"), options),
        (("Command", "From the page", "Meaning"), commands),
        (("Feed", "Gives", "Meaning"), feeds),
    ):
        if rows:
            yield table(heads, rows)


def common_keys() -> list[Row]:
    """A row for each key that every device has."""
    return [("`driver`", "", "Kind of the driver."), *option_rows(DriverOptions)]


def option_rows(model: type[BaseModel], prefix: str = "") -> list[Row]:
    """A row for each key of an options model; a table's inside it as `key.inner`, of named tables `key.NAME.inner`."""
    rows: list[Row] = []
    for name, field in model.model_fields.items():
        rows.append((f"`{prefix}{name}`", _default(field), field.description or ""))
        for inner, named in _models_in(field.annotation):
            rows += option_rows(inner, f"{prefix}{name}.{'NAME.' if named else ''}")
    return rows


def _models_in(annotation: Any, *, named: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models in an annotation; `named`: they are the values of a table whose keys an author chooses."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation, named
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part, named=named or get_origin(annotation) is dict)


def _default(field: FieldInfo) -> str:
    return "mandatory" if field.is_required() else show(field.get_default(call_default_factory=True))


def show(value: Any) -> str:
    """Show a default the way one would write it; nothing where there is none."""
    if value is None or value in ("", {}, [], ()) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def usage(command: CommandSpec) -> str:
    """How a command is called: names, types without their limits, defaults."""
    hints = get_type_hints(command.function)
    parts = []
    for parameter in list(inspect.signature(command.function).parameters.values())[1:]:
        optional = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{parameter.name}: {type_name(hints.get(parameter.name, Any))}{optional}")
    return f"({', '.join(parts)})"


def type_name(kind: Any) -> str:
    """A type as people write it."""
    if get_origin(kind) is Annotated:
        return type_name(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return kind.__name__ if inspect.isclass(kind) and not get_args(kind) else str(kind).replace("typing.", "")


def table(heads: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
