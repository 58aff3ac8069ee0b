"""The program as a whole: its help, its version, how quick it is to answer."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from labkit.cli import main
from tests.cli.program import Place


def test_help_lists_every_command_with_one_whole_line(place: Place) -> None:
    shown = place.python("-m", "labkit.cli", "--help").stdout
    lines = shown.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [
        "demo", "run", "web", "loop", "check", "schema", "devices", "bench", "release", "sim", "driver", "plugins",
        "fake", "clean-expired-users", "run-tasks",
    ]  # fmt: skip
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
    assert max(map(len, shown.splitlines())) <= 80


def test_help_loads_no_lab_and_nothing_that_is_slow() -> None:
    code = (
        "import sys\nfrom labkit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert (
        loaded & {"flask", "redis", "pydantic", "rich.console", "gunicorn", "labkit.lab", "labkit.extension"} == set()
    )


def test_version_is_that_of_the_package(place: Place) -> None:
    assert re.fullmatch(r"labkit \d+\.\d+\.\d+\n", place.python("-m", "labkit.cli", "--version").stdout)


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_has_help_of_its_own(name: str) -> None:
    command = main.commands[name]
    assert isinstance(command, click.Command)
    context = click.Context(command, info_name=name)
    assert command.get_help(context).startswith(f"Usage: {name}")


def test_command_of_labkit_run_that_lost_its_parent_does_not_start(place: Place) -> None:
    done = place.labkit("loop", LABKIT_PARENT="1")
    assert done.returncode == 1
    assert done.stderr == "The process 1, which this one belongs to, has gone.\n"
