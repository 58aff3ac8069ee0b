"""docs/moving-from-weblablib.md names all that people bring, and its lab runs before and after the way over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import labkit
from labkit.cli import main
from labkit.commands.weblab import SHARED
from labkit.settings import SETTINGS
from labkit.testing.board import BoardProcess
from tests.docs.markdown import Block, blocks_of, rows_of, write_files
from tests.docs.running_lab import RunningLab, running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "moving-from-weblablib.md"
PORT = "/dev/ttyUSB0"


def section(head: str) -> str:
    """What stands under a `## ` head."""
    _, _, rest = PAGE.read_text("utf-8").partition(f"\n## {head}\n")
    assert rest, head
    return rest.partition("\n## ")[0]


def in_code(text: str) -> list[str]:
    """All that stands in marks of code."""
    return text.split("`")[1::2]


def test_every_name_of_the_session_api_is_imported_from_labkit_as_it_was() -> None:
    rows = [row for row in rows_of(section("Names")) if row[0].startswith("`from")]
    for theirs, ours in rows:
        assert ours == theirs.replace("weblablib", "labkit")
        exec(ours.strip("`"), {})
    known = {row[1].strip("`").split()[-1] for row in rows}
    new = {name for row in rows_of(section("Names").partition("New names")[2]) for name in in_code(row[0])}
    assert known & new == set()
    assert known | new == {*labkit.__all__, "weblab.devices"}


def test_every_setting_has_its_row() -> None:
    named = [name for row in rows_of(section("Settings"))[1:] for name in in_code(row[0])]
    assert sorted(named) == sorted(setting.name for setting in SETTINGS)


def leaves(command: click.Command, name: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        if command.invoke_without_command:
            yield name
        for child, below in command.commands.items():
            yield from leaves(below, f"{name} {child}")
    else:
        yield name


def test_every_command_of_flask_weblab_has_its_row_and_is_one_of_labkit_too() -> None:
    rows = [[cell.strip("`") for cell in row[:2]] for row in rows_of(section("Commands"))[1:]]
    shared = [name for command in SHARED for name in leaves(command, str(command.name))]
    assert {theirs: ours for theirs, ours in rows if theirs.startswith("flask weblab")} == {
        f"flask weblab {name}": f"labkit {name}" for name in shared
    }
    assert {ours.removeprefix("labkit ") for _, ours in rows} <= {
        name for command in main.commands.values() for name in leaves(command, str(command.name))
    }


def test_every_difference_is_told() -> None:
    rows = [row for row in rows_of(section("What behaves differently, and why")) if row[0] != "Subject"]
    assert len(rows) > 30
    assert [row for row in rows if len(row) != 3 or not row[0] or not row[1].endswith((".", "`."))] == []


# -- its lab


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardProcess]:
    with BoardProcess.start(tmp_path / "tty") as started:
        yield started


@pytest.fixture
def blocks(board: BoardProcess) -> list[Block]:
    """The page's blocks, for a reader whose board is not at /dev/ttyUSB0."""
    return [
        Block(language=block.language, file=block.file, text=block.text.replace(PORT, str(board.path)))
        for block in blocks_of(PAGE)
    ]


def use(lab: RunningLab, board: BoardProcess) -> None:
    """A session from its start to its end, in which the lamp is switched."""
    session_id, browser = lab.start()
    board.wait_received(b"led 1 on\r")
    assert told(browser.get("/lamp")) == {"user": "ada", "switched": 0}
    assert told(browser.post("/lamp/off")) == {"user": "ada", "switched": 1}
    board.wait_received(b"led 1 off\r")
    assert browser.post("/leave").text == "Good bye"
    assert browser.get("/lamp").location == "http://rlms.example/"
    lab.dispose(session_id)
    board.wait_received(b"halt\r")


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_old_lab_works_when_only_its_import_is_another_one(
    blocks: list[Block], board: BoardProcess, tmp_path: Path
) -> None:
    (old,) = (block.text for block in blocks if "from weblablib import" in block.text)
    (line,) = (block.text for block in blocks if block.text.startswith("from labkit import"))
    changed = [line.strip() if "weblablib" in text else text for text in old.splitlines()]
    assert line.strip() == next(text for text in old.splitlines() if "weblablib" in text).replace("weblablib", "labkit")
    folder = tmp_path / "mylab"
    write_files([Block(language="python", file="lab.py", text="\n".join(changed))], folder)
    with running(folder, devices=False) as lab:
        use(lab, board)
        lab.module.board.close()


def test_lab_that_declares_its_board_does_the_same(blocks: list[Block], board: BoardProcess, tmp_path: Path) -> None:
    folder = tmp_path / "mylab"
    write_files(blocks, folder)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"lab.py", "bench-1.toml"}
    with running(folder) as lab:
        before = len(board.received().split(b"halt\r"))
        use(lab, board)
        assert len(board.received().split(b"halt\r")) > before
