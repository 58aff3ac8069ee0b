"""`flask weblab`: the commands of an app."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from labkit import WebLab
from labkit.commands.source import LabSource, declarations_are_read_later, pass_lab
from labkit.commands.weblab import SHARED
from labkit.errors import WebLabNotInitializedError
from tests.cli.conftest import place as place
from tests.cli.program import APP, Place, wait_for

ON_DISPOSE = """

@weblab.on_dispose
def dispose():
    open("disposed", "w").close()
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = Flask("mylab", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    made.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key")
    weblab = WebLab(made)
    yield made
    weblab.close()


def test_group_has_the_commands_that_make_sense_with_an_app(app: Flask) -> None:
    group = app.cli.commands["weblab"]
    assert isinstance(group, click.Group)
    assert set(group.commands) == {command.name for command in SHARED}
    assert {"loop", "devices", "release", "fake", "clean-expired-users", "run-tasks"} <= set(group.commands)


def test_command_works_on_its_own_app(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["weblab", "devices"])
    assert done.exit_code == 0, done.output
    assert done.output == (
        f"Nothing runs here. No device is declared in {app.root_path}/devices. Start it: labkit run\n"
    )


@pytest.mark.parametrize("command", ["clean-expired-users", "run-tasks"])
def test_upkeep_runs_once_and_ends(app: Flask, command: str) -> None:
    done = app.test_cli_runner().invoke(args=["weblab", command])
    assert (done.exit_code, done.output) == (0, "")


def test_command_without_a_lab_says_how_it_is_run() -> None:
    @click.command()
    @pass_lab
    def command(lab: object) -> None: ...

    with pytest.raises(WebLabNotInitializedError, match="run it by `labkit` or by `flask weblab`"):
        command.main([], standalone_mode=False)


def test_lab_is_found_once_and_only_when_it_is_asked_for() -> None:
    found: list[int] = []

    def find() -> object:
        found.append(1)
        return object()

    source = LabSource(find)  # type: ignore[arg-type]
    assert found == []
    assert source.lab is source.lab
    assert found == [1]


@pytest.mark.parametrize("command", SHARED, ids=lambda command: command.name)
def test_declarations_stop_only_the_commands_that_need_good_ones(
    command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["flask", "--app", "lab", "weblab", command.name, "--help"])
    need = {"loop", "fake", "clean-expired-users", "run-tasks"}
    assert declarations_are_read_later() == (command.name not in need)


@pytest.mark.parametrize("words", [["--app", "weblab", "run"], ["run"], ["--app", "check"], []])
def test_declarations_are_read_where_it_is_no_command_of_weblab(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["flask", *words])
    assert not declarations_are_read_later()


@pytest.mark.parametrize("words", [("plugins",), ("driver", "doc", "serial")], ids=" ".join)
def test_commands_for_drivers_run_while_a_declaration_has_mistakes(place: Place, words: tuple[str, ...]) -> None:
    place.write("lab.py", APP + ON_DISPOSE)
    place.write("devices/bench-1.toml", '[console]\ndriver = "serail"\n')
    done = place.python("-m", "flask", "--app", "lab", "weblab", *words)
    assert (done.returncode, "serial" in done.stdout) == (0, True), done.stderr
    assert "serail" not in done.stderr


def test_sessions_of_flask_run_can_be_ended_by_clean_expired_users(place: Place) -> None:
    """A web process that only serves, no loop: the command does the whole work itself."""
    place.write("lab.py", APP + ON_DISPOSE)
    with place.running("web", "--port", "0") as web:
        web.says("Serving at ")
        url = web.err.partition("Serving at ")[2].split()[0]
        started = place.labkit("fake", "new", "--url", url, "--assigned-time", "0.2")
        assert started.returncode == 0, started.stderr
        wait_for(lambda: "-1" in place.labkit("fake", "status", "--url", url).stdout, "the end of the time")
        assert not (place.folder / "disposed").exists()
        cleaned = place.python("-m", "flask", "--app", "lab", "weblab", "clean-expired-users")
        assert cleaned.returncode == 0, cleaned.stderr
        assert (place.folder / "disposed").exists()
        assert web.end(signal.SIGTERM) == 0


def test_loop_ends_in_order_at_sigterm(place: Place) -> None:
    place.write("lab.py", APP + ON_DISPOSE)
    with place.running("loop") as loop:
        loop.says("loop started")
        assert loop.end(signal.SIGTERM) == 0
    assert "Traceback" not in loop.err
