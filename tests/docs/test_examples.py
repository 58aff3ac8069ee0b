"""The labs of docs/examples run, and do what the tutorial and the how-to pages say of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import CommandError
from tests.docs.markdown import blocks_of
from tests.docs.running_lab import json_of, running

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGES = {  # a page, and the example that its named blocks are
    "docs/tutorial.md": ("first-lab", "first-driver"),
    "docs/how-to/declare-a-bench.md": ("by-hand",),
}


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """Copies an example, so that it leaves nothing behind."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("instance")))

    return copy


def test_first_lab_reads_its_thermometer_and_records_in_a_task(example: Callable[[str], Path]) -> None:
    with running(example("first-lab")) as lab:
        session_id, browser = lab.start()
        with lab.session(session_id):
            console = lab.weblab.devices["console"]
            assert b"Welcome ada" in console.read_until(b"Welcome ada\r\n> ", timeout=30)
        first = json_of(browser.get("/temperature"))
        assert 20 < first["celsius"] < 30
        assert json_of(browser.get("/temperature"))["readings"] == first["readings"] + 1 == 2
        task_id = json_of(browser.post("/record"))["task"]
        with lab.session(session_id), lab.app.app_context():
            task = lab.weblab.get_task(task_id)
            assert task is not None
            assert task.join(timeout=30).status == "done", task.error
            assert len(task.result) == 5
        lab.dispose(session_id)
        assert browser.get("/temperature").location == "http://rlms.example/"


def test_first_driver_sets_the_fan_and_leaves_it_off(example: Callable[[str], Path]) -> None:
    folder = example("first-driver")
    with running(folder) as lab:
        (file,) = folder.rglob("pwm1")
        session_id, browser = lab.start()
        assert file.read_text() == "102"
        assert b"Set the speed in percent." in browser.get("/labkit/").data
        with lab.session(session_id):
            fan = lab.weblab.devices["fan"]
            fan.set_speed(100)
            assert (fan.get_speed(), file.read_text()) == (100, "255")
            with pytest.raises(CommandError, match="less than or equal to 100"):
                fan.set_speed(140)
        lab.dispose(session_id)
        assert file.read_text() == "0"


def test_lab_that_reserves_by_hand_gets_the_bench_with_the_feature(example: Callable[[str], Path]) -> None:
    with running(example("by-hand")) as lab:
        session_id, _ = lab.start()
        with lab.session(session_id):
            assert list(lab.weblab.devices) == ["bench-2/console"]
        refused = lab.rlms(
            "POST",
            "",
            {
                "client_initial_data": {},
                "server_initial_data": {"request.username": "bob", "priority.queue.slot.length": 60},
                "back": None,
            },
        )
        assert refused.status_code == 503
        assert "bench-2 is reserved by another session since" in refused.json["message"]
        other, _ = lab.start(features=["uno"])
        lab.dispose(other)
        lab.dispose(session_id)


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_the_files_that_are_tested(page: str) -> None:
    shown = [block for block in blocks_of(ROOT / page) if block.file]
    assert shown
    for block in shown:
        found = [(EXAMPLES / name / block.file) for name in PAGES[page]]
        texts = [path.read_text("utf-8") for path in found if path.is_file()]
        assert block.text in texts, f"{page}: {block.file} is not the one in docs/examples"
