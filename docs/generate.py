"""Writes docs/reference/ from the code: every setting, hook, command, and bundled driver, so that none is forgotten.

Run by `make reference`; tests/rules/test_documented.py fails while a page is not what this writes. What needs more
than its one line is explained in the tutorial and the how-to pages, never here.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make reference` from the code. Change the code. -->"


def settings_page() -> str:
    from labkit.settings import SETTINGS

    rows = [(f"`{setting.name}`", show(setting.default), setting.help) for setting in SETTINGS]
    return page(
        "Settings",
        "Keys of the Flask app's config; for a lab without an app, of the environment or `labkit.toml`. "
        "Read once, when the lab is put together.",
        table(("Setting", "Default", "Meaning"), rows),
    )


def hooks_page() -> str:
    from labkit.plugin import hooks

    parts = []
    for name, hook in inspect.getmembers(hooks, inspect.isfunction):
        if hasattr(hook, "labkit_spec"):
            parts.append(f"## `{name}{signature(hook)}`\n\n{inspect.getdoc(hook)}")
    return page("Hooks", inspect.getdoc(hooks) or "", *parts)


def commands_page() -> str:
    from labkit.cli import main

    intro = "The `labkit` program. Each of these is also a command of `flask weblab`, where it makes sense with an app."
    info = main.to_info_dict(click.Context(main, info_name="labkit"))
    before = "## Before every command\n\n    labkit [OPTIONS] COMMAND"
    return page("Commands", intro, before, parameters(info), *command_parts(main, "labkit"))


def command_parts(command: click.Command, name: str) -> Iterator[str]:
    """One part for each command below `command`, in the order that `--help` shows them."""
    context = click.Context(command, info_name=name)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from command_parts(found, f"{name} {child}")
        return
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", inspect.cleandoc(command.help or ""), f"    {usage}"]
    yield "\n\n".join(filter(None, [*parts, parameters(command.to_info_dict(context))]))


def parameters(info: Mapping[str, Any]) -> str:
    """The table of a command's options and arguments, all but `--help`; '' where it has none."""
    params = [param for param in info["params"] if "--help" not in param["opts"]]
    rows = [(f"`{spelling(param)}`", param.get("help") or "") for param in params]
    return table(("Argument", "Meaning"), rows) if rows else ""


def spelling(param: Mapping[str, Any]) -> str:
    return ", ".join(param["opts"]) if param["param_type_name"] == "option" else str(param["name"]).upper()


def drivers_page() -> str:
    from labkit.plugin import DriverOptions

    parts = [part for driver in bundled_drivers() for part in driver_parts(driver)]
    everywhere = table(
        ("Key", "Default", "Meaning"), [("`driver`", "", "Kind of the driver."), *options(DriverOptions)]
    )
    return page("Drivers", "What a declaration may say about a device.", f"## Every driver\n\n{everywhere}", *parts)


def bundled_drivers() -> Iterator[Any]:
    for entry in sorted(importlib.metadata.entry_points(group="labkit"), key=lambda entry: entry.name):
        if entry.value.startswith("labkit_plugins."):
            yield from entry.load().labkit_drivers()


def driver_parts(driver: Any) -> Iterator[str]:
    """Options, commands and feeds of one driver class."""
    from labkit.plugin import DriverOptions, commands_of, feeds_of

    yield f"## `{driver.kind}`\n\n{inspect.getdoc(driver)}"
    rows = [row for row in options(driver.Options) if row not in set(options(DriverOptions))]
    yield table(("Key", "Default", "Meaning"), rows)
    commands = [(f"`{c.name}{usage(c)}`", "yes" if c.panel else "", c.help) for c in commands_of(driver).values()]
    yield table(("Command", "From the page", "Meaning"), commands)
    feeds = [(f"`{feed.name}`", f"`{type_name(feed.type)}`", feed.help) for feed in feeds_of(driver).values()]
    yield table(("Feed", "Gives", "Meaning"), feeds)


def options(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str]]:
    """A row for each key of an options model; those of a table inside it as `key.inner`."""
    rows = []
    for name, field in model.model_fields.items():
        rows.append((f"`{prefix}{name}`", default(field), field.description or ""))
        for inner in models_in(field.annotation):
            rows += options(inner, f"{prefix}{name}.")
    return rows


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from models_in(part)


def default(field: FieldInfo) -> str:
    return "mandatory" if field.is_required() else show(field.get_default(call_default_factory=True))


def show(value: Any) -> str:
    """Show a default the way one would write it; nothing where there is none."""
    if value is None or value == "" or isinstance(value, BaseModel):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function)).replace("'", "")


def usage(command: Any) -> str:
    """How a command is called: names, types without their limits, defaults."""
    hints = get_type_hints(command.function)
    parts = []
    for parameter in list(inspect.signature(command.function).parameters.values())[1:]:
        optional = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(f"{parameter.name}: {type_name(hints.get(parameter.name, Any))}{optional}")
    return f"({', '.join(parts)})"


def type_name(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) else str(kind)


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def with_generated_half(path: Path) -> str:
    """A page of docs/drivers/ as it should be: what an author wrote down to the marker, and what the code says below."""
    written, marker, _ = path.read_text("utf-8").partition(f"<!-- generated: {path.stem} -->")
    if not marker:
        raise ValueError(f"{path.name} has no line <!-- generated: {path.stem} -->")
    driver = next(driver for driver in bundled_drivers() if driver.kind == path.stem)
    _, *tables = driver_parts(driver)
    titles = ("## Options", "## Commands", "## Feeds")
    parts = [part for title, rows in zip(titles, tables, strict=True) for part in (title, rows)]
    return "\n\n".join([written.rstrip(), marker, NOTE, *parts]) + "\n"


def driver_pages() -> Iterator[Path]:
    """The pages of docs/drivers/, one for each bundled driver."""
    yield from sorted((Path(__file__).parent / "drivers").glob("*.md"))


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "hooks.md": hooks_page,
    "commands.md": commands_page,
    "drivers.md": drivers_page,
}

if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PAGES:
        (REFERENCE / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote docs/reference/{name}")
    for path in driver_pages():
        path.write_text(with_generated_half(path), "utf-8")
        print(f"wrote docs/drivers/{path.name}")
