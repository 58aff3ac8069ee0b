"""Writes docs/reference/ from the code: every setting, hook, command, and bundled driver, so that none is forgotten.

Run by `make reference`; tests/rules/test_documented.py fails while a page is not what this writes. What needs more
than its one line is explained in the tutorial and the how-to pages, never here.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from labkit.devices.driver_page import common_keys, driver_parts, show, table

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
        if command.invoke_without_command:
            yield command_part(command, name, context)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from command_parts(found, f"{name} {child}")
        return
    yield command_part(command, name, context)


def command_part(command: click.Command, name: str, context: click.Context) -> str:
    pieces = command.collect_usage_pieces(context)
    if isinstance(command, click.Group):
        pieces = ["[OPTIONS]", "[COMMAND]", "[ARGS]..."]  # older versions of click don't say that it may be left out
    usage = " ".join([name, *pieces])
    parts = [f"## {name}", inspect.cleandoc(command.help or ""), f"    {usage}"]
    return "\n\n".join(filter(None, [*parts, parameters(command.to_info_dict(context))]))


def parameters(info: Mapping[str, Any]) -> str:
    """The table of a command's options and arguments, all but `--help`; '' where it has none."""
    params = [param for param in info["params"] if "--help" not in param["opts"]]
    rows = [(f"`{spelling(param)}`", param.get("help") or "") for param in params]
    return table(("Argument", "Meaning"), rows) if rows else ""


def spelling(param: Mapping[str, Any]) -> str:
    return ", ".join(param["opts"]) if param["param_type_name"] == "option" else str(param["name"]).upper()


def drivers_page() -> str:
    parts = [part for driver in bundled_drivers() for part in driver_parts(driver)]
    everywhere = table(("Key", "Default", "Meaning"), common_keys())
    return page("Drivers", "What a declaration may say about a device.", f"## Every driver\n\n{everywhere}", *parts)


def bundled_drivers() -> Iterator[Any]:
    for entry in sorted(importlib.metadata.entry_points(group="labkit"), key=lambda entry: entry.name):
        if entry.value.startswith("labkit_plugins."):
            plugin = entry.load()
            yield from plugin.labkit_drivers() if hasattr(plugin, "labkit_drivers") else ()


def signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function)).replace("'", "")


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def with_generated_half(path: Path) -> str:
    """A page of docs/drivers/ as it should be: what an author wrote, down to the marker, then what the code says."""
    written, marker, _ = path.read_text("utf-8").partition(f"<!-- generated: {path.stem} -->")
    if not marker:
        raise ValueError(f"{path.name} has no line <!-- generated: {path.stem} -->")
    driver = next(driver for driver in bundled_drivers() if driver.kind == path.stem)
    _, _, *tables = driver_parts(driver)
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
