"""The README's blocks run: its lab serves a session, its driver loads and works, its lengths are what it promises."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.clock import Deadline
from labkit.devices.declaration import read_declarations
from labkit.devices.plugins import load_plugins
from labkit.errors import CommandError, DriverError
from tests.docs.markdown import Block, blocks_of, rows_of, write_files
from tests.docs.running_lab import RunningLab, json_of, running

LONGEST_LAB = 25
LONGEST_DRIVER = 15
PWM = "/sys/class/hwmon/hwmon2/pwm1"


@pytest.fixture(scope="module")
def blocks(root: Path) -> list[Block]:
    return blocks_of(root / "README.md")


@pytest.fixture(scope="module")
def files(blocks: list[Block]) -> dict[str, str]:
    """The README's blocks that are files, by name."""
    return {block.file: block.text for block in blocks if block.file}


@pytest.fixture(scope="module")
def one_more_device(blocks: list[Block]) -> str:
    """The block that is added to the bench."""
    (found,) = [block.text for block in blocks if block.language == "toml" and not block.file]
    return found


@pytest.fixture
def fan(tmp_path: Path) -> Path:
    """A file that takes a speed, as the kernel's does."""
    file = tmp_path / "pwm1"
    file.write_text("128")
    return file


@pytest.fixture
def folder(blocks: list[Block], one_more_device: str, tmp_path: Path, fan: Path) -> Path:
    """What a reader has who took every block."""
    folder = tmp_path / "mylab"
    write_files(blocks, folder)
    with (folder / "devices" / "bench-1.toml").open("a") as bench:
        bench.write(one_more_device.replace(PWM, str(fan)))
    return folder


@pytest.fixture
def lab(folder: Path) -> Iterator[RunningLab]:
    with running(folder) as started:
        yield started


def test_readme_shows_a_lab_and_a_driver(files: dict[str, str], one_more_device: str) -> None:
    assert set(files) == {"devices/bench-1.toml", "lab.py", "drivers/fan.py"}
    assert PWM in one_more_device


def test_lab_and_driver_are_as_short_as_promised(blocks: list[Block]) -> None:
    lines = {block.file: block.code_lines for block in blocks}
    assert lines["devices/bench-1.toml"] + lines["lab.py"] <= LONGEST_LAB
    assert lines["drivers/fan.py"] <= LONGEST_DRIVER


def test_declaration_alone_is_a_lab(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bench-1.toml").write_text(files["devices/bench-1.toml"])
    (bench,) = read_declarations(tmp_path, load_plugins(None))
    assert [device.full_name for device in bench.devices] == ["bench-1/console"]


def test_driver_loads_without_fault(folder: Path) -> None:
    plugins = load_plugins(folder / "drivers")
    assert plugins.broken == ()
    assert plugins.origins["fan"] == "drivers/fan.py"


def test_lab_serves_a_session_from_start_to_dispose(lab: RunningLab) -> None:
    session_id, browser = lab.start()
    reading = json_of(browser.get("/temperature"))
    assert reading["student"] == "ada"
    assert re.fullmatch(r"temp is \d+\.\d C", reading["board"])
    assert b"bench-1/console" in browser.get("/labkit/").data
    assert lab.browser().get("/temperature").status_code == 403
    with lab.session(session_id):
        console = lab.weblab.devices["console"]
        console.write(b"led 1\r")
        assert b"led 1 is on" in console.read_until(b"led 1 is on", timeout=30)
    lab.dispose(session_id)
    assert browser.get("/temperature").location == "http://rlms.example/"


def test_drivers_command_is_called_through_a_session_and_its_fan_left_off(lab: RunningLab, fan: Path) -> None:
    assert fan.read_text() == "0", "made safe before anybody came"
    session_id, browser = lab.start()
    assert b"set_speed" in browser.get("/labkit/").data
    with lab.session(session_id):
        device = lab.weblab.devices["fan"]
        device.set_speed(200)
        assert fan.read_text() == "200"
        with pytest.raises(CommandError, match="valid integer"):
            device.set_speed("fast")
        fan.unlink()
        fan.mkdir()
        with pytest.raises(DriverError, match="IsADirectoryError"):
            device.set_speed(1)
        fan.rmdir()
        fan.write_text("200")
    lab.dispose(session_id)
    assert fan.read_text() == "0"


def test_driver_finds_a_mistyped_file_out_and_makes_none(folder: Path, fan: Path) -> None:
    bench = folder / "devices" / "bench-1.toml"
    bench.write_text(bench.read_text().replace(str(fan), f"{fan}x"))
    lab = RunningLab(folder)
    try:
        assert lab.rlms("GET", "test").json == {"valid": True}
        ends, pause = Deadline(60), threading.Event()
        while lab.conditions().get("bench-1/fan") != "faulty":
            assert not ends.over, lab.conditions()
            pause.wait(0.02)
        assert not Path(f"{fan}x").exists()
    finally:
        lab.weblab.close()
        sys.modules.pop(lab.module.__name__)


def test_names_that_people_bring_from_weblablib_are_there(root: Path) -> None:
    _, _, part = (root / "README.md").read_text("utf-8").partition("## Coming from weblablib")
    rows = [row for row in rows_of(part) if row[0].startswith("`from")]
    assert len(rows) == 10
    for theirs, ours in rows:
        assert ours == theirs.replace("weblablib", "labkit")
        exec(ours.strip("`"), {})


def test_table_of_bundled_drivers_has_all_of_them(root: Path) -> None:
    _, _, part = (root / "README.md").read_text("utf-8").partition("These drivers come with labkit:")
    shown = {row[0].strip("`") for row in rows_of(part.partition("##")[0])[1:]}
    assert shown == set(load_plugins(None).drivers)


def test_demo_prints_what_the_readme_shows(blocks: list[Block], root: Path) -> None:
    (shown,) = [block.text for block in blocks if block.text.startswith("$ make demo\n")]
    _, _, expected = shown.partition("\n\n")
    assert neutral(demo_output(root)) == neutral(expected)


def demo_output(root: Path) -> str:
    """What `labkit demo` prints until it is ready; ends it then."""
    command = [sys.executable, "-m", "labkit.cli", "demo", "--no-browser", "--port", "0"]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines = []
        try:
            for line in demo.stdout:
                lines.append(line)
                if any("Terminal" in known for known in lines) and not line.strip():
                    break
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=60)
    return "".join(lines)


def neutral(text: str) -> list[str]:
    """The lines of a demo without what is different each time: version, port, folder."""
    text = re.sub(r"labkit \d\S*", "labkit", text)
    text = re.sub(r"(127\.0\.0\.1):\d+", r"\1", text)
    text = re.sub(r"labkit-demo-\w+", "labkit-demo", text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]
