"""Every setting, hook, command, option and feed has its line, and docs/reference/ has all of them."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from typing import Any

import click
import pytest

from labkit.devices.driver_page import option_rows
from labkit.plugin import Driver, commands_of, feeds_of, hooks
from labkit.settings import SETTINGS
from tests.rules.conftest import ROOT

GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))


@pytest.fixture(scope="module")
def drivers() -> list[type[Driver[Any]]]:
    found = list(GENERATE["bundled_drivers"]())
    assert found
    return found


@pytest.mark.parametrize("name", GENERATE["PAGES"])
def test_reference_page_is_what_the_code_says(root: Path, name: str) -> None:
    written = (root / "docs" / "reference" / name).read_text("utf-8")
    assert written == GENERATE["PAGES"][name](), "Run: make reference"


def test_each_bundled_driver_has_its_page_and_half_of_it_is_what_the_code_says(root: Path) -> None:
    pages = list(GENERATE["driver_pages"]())
    assert [path.stem for path in pages] == sorted(driver.kind for driver in GENERATE["bundled_drivers"]())
    for path in pages:
        assert path.read_text("utf-8") == GENERATE["with_generated_half"](path), f"{path.name}: run make reference"


def test_every_setting_says_what_it_means() -> None:
    assert SETTINGS
    assert [setting.name for setting in SETTINGS if not setting.help.endswith(".")] == []
    assert [setting.name for setting in SETTINGS if not setting.name.startswith(("WEBLAB_", "LABKIT_"))] == []


def test_every_hook_says_what_it_returns() -> None:
    specs = [member for member in vars(hooks).values() if hasattr(member, "labkit_spec")]
    assert specs
    assert [hook.__name__ for hook in specs if not hook.__doc__] == []


def test_every_command_of_the_program_says_what_it_does() -> None:
    def silent(command: click.Command, name: str) -> list[str]:
        children = command.commands.items() if isinstance(command, click.Group) else ()
        below = [found for child, member in children for found in silent(member, f"{name} {child}")]
        unexplained = [
            f"{name} {param.opts[0]}" for param in command.params if isinstance(param, click.Option) and not param.help
        ]
        return ([] if command.help else [name]) + unexplained + below

    program = importlib.import_module("labkit.cli").main
    assert isinstance(program, click.Command)
    assert silent(program, "labkit") == []


def test_every_option_of_a_bundled_driver_has_its_help(drivers: list[type[Driver[Any]]]) -> None:
    rows = [(driver.kind, row) for driver in drivers for row in option_rows(driver.Options)]
    assert rows
    assert [(kind, key) for kind, (key, _, meaning) in rows if not meaning] == []


def test_every_command_and_feed_of_a_bundled_driver_has_its_help(drivers: list[type[Driver[Any]]]) -> None:
    silent = [
        f"{driver.kind}.{command.name}"
        for driver in drivers
        for command in commands_of(driver).values()
        if not command.help
    ]
    silent += [
        f"{driver.kind}.{feed.name}" for driver in drivers for feed in feeds_of(driver).values() if not feed.help
    ]
    assert silent == []


def test_twins_take_and_give_what_their_drivers_do(drivers: list[type[Driver[Any]]]) -> None:
    for driver in drivers:
        twin = driver.simulated
        assert twin is not None, driver.kind
        assert twin.Options is driver.Options
        assert set(commands_of(twin)) == set(commands_of(driver))
        assert set(feeds_of(twin)) == set(feeds_of(driver))
