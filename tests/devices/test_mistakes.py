"""Mistakes in declarations, each with all that a person is told of it: place, sentence, line and caret.

The table is `mistakes.txt`, as a person at a terminal sees it: each case has its name after `===`, its files after
`---`, and then what `labkit check` draws. FOLDER/ stands for where the lab is.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from labkit.commands.check import looked_at
from labkit.commands.drawing import drawn
from labkit.commands.found_lab import FoundLab
from labkit.devices.plugins import BrokenPlugin, Plugins
from labkit.plugin import Driver, DriverOptions, Secret
from labkit_plugins import gpio, serial

SAID = "what is said"


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str = ""
    password: Secret | None = None
    port: int = 22


class DoorOptions(DriverOptions):
    password: Secret | None = None
    login: Login | None = None


class Door(Driver[DoorOptions]):
    """A device behind a password."""

    kind = "door"


PLUGINS = Plugins(
    drivers={driver.kind: driver for driver in (*serial.labkit_drivers(), *gpio.labkit_drivers(), Door)},
    broken=(
        BrokenPlugin(
            name="scope",
            origin="drivers/scope.py",
            error="ModuleNotFoundError: No module named 'visa' (scope.py, line 3).",
        ),
    ),
)


def cases() -> dict[str, dict[str, str]]:
    """Name of each case -> its parts by their heads."""
    text = Path(__file__).with_name("mistakes.txt").read_text("utf-8")
    found: dict[str, dict[str, str]] = {}
    for case in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = case.partition("\n")
        parts = [part.partition("\n") for part in re.split(r"^--- ", rest, flags=re.MULTILINE)[1:]]
        assert name not in found
        found[name] = {head: body for head, _, body in parts}
    return found


CASES = cases()


def said(folder: Path) -> str:
    """What is said of the declarations of a folder, but for the broken plugin."""
    lab = FoundLab(
        devices=folder, drivers=Path("drivers"), simulate=False, machine="pi-3", read_plugins=lambda: PLUGINS
    )
    return "\n".join(drawn(finding) for finding in looked_at(lab, []).findings if finding.line) + "\n"


def test_there_are_more_than_twenty_of_them() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize("name", CASES)
def test_all_that_is_said_of_a_mistake(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("DOOR_PASSWORD", raising=False)
    monkeypatch.chdir(tmp_path)
    parts = dict(CASES[name])
    expected = parts.pop(SAID).rstrip("\n") + "\n"
    Path("devices").mkdir()
    for head, body in parts.items():
        file, _, encoding = head.partition(" (")
        (tmp_path / "devices" / file).write_text(body, encoding.rstrip(")") or "utf-8")
    assert said(Path("devices")).replace(f"{tmp_path}/", "FOLDER/") == expected


def test_no_secret_is_said() -> None:
    assert "hunter2" not in "".join(parts[SAID] for parts in CASES.values())
    assert sum("hunter2" in "".join(parts.values()) for parts in CASES.values()) >= 2
