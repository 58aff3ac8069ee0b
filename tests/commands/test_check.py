"""`labkit check`: what is printed, how it ends, and that nothing is needed for it: no hardware, no store, no app."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from labkit.cli import main
from labkit.store.connection import Store
from labkit.testing.store import StoreServer
from tests.cli.conftest import place as place
from tests.cli.program import Place

GOOD = '[console]\ndriver = "serial"\nmatch = { usb_serial = "7543" }\n'
TWO = GOOD.replace("7543", "7544") + '\n[leds]\ndriver = "gpio"\nchip = "pinctrl-rp1"\nlines = { red = 17 }\n'
WRONG = GOOD + "boudrate = 9600\n"
DOUBTFUL = '[console]\ndriver = "serial"\nport = "/dev/ttyUSB0"\n'

SAID = """\
devices/bench-1.toml:4:1: [console] boudrate: unknown key. Did you mean baudrate?
    4 | boudrate = 9600
      | ^^^^^^^^

"""

APP = """
from flask import Flask
from labkit import WebLab

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key", LABKIT_DEVICES="benches")
weblab = WebLab(app)
"""


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    output: str


class Here:
    """A folder, and the program run in it by this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        self._monkeypatch = monkeypatch

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def labkit(self, *arguments: str, **environment: str) -> Done:
        for name in [name for name in os.environ if name.startswith(("LABKIT_", "WEBLAB_"))]:
            self._monkeypatch.delenv(name)
        done = CliRunner(env=environment).invoke(main, arguments)
        return Done(done.exit_code, done.output)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path, monkeypatch)


def test_good_lab_is_well(here: Here) -> None:
    here.write("devices/bench-1.toml", GOOD)
    here.write("devices/bench-2.toml", TWO)
    assert here.labkit("check") == (0, "2 benches, 3 devices: all is well.\n")
    assert sorted(path.name for path in here.folder.iterdir()) == ["devices"]


def test_problem_is_shown_with_its_line_and_ends_with_2(here: Here) -> None:
    here.write("devices/bench-1.toml", WRONG)
    here.write("devices/bench-2.toml", TWO)
    assert here.labkit("check") == (2, SAID + "2 benches: 1 problem.\n")


def test_warnings_alone_are_no_failure_unless_they_are_asked_to_be(here: Here) -> None:
    here.write("devices/bench-1.toml", DOUBTFUL)
    for arguments, code in (((), 0), (("--strict",), 2)):
        done = here.labkit("check", *arguments)
        assert done.code == code
        assert done.output.startswith("devices/bench-1.toml:3:1: warning: [console] port: /dev/ttyUSB0 may be another")
        assert done.output.endswith('    3 | port = "/dev/ttyUSB0"\n      | ^^^^\n\n1 bench, 1 device: 1 warning.\n')


def test_json_has_an_object_for_each_finding(here: Here) -> None:
    here.write("devices/bench-1.toml", WRONG)
    here.write("devices/bench-2.toml", DOUBTFUL)
    done = here.labkit("check", "--json")
    problem, warning = json.loads(done.output)
    assert (done.code, problem) == (
        2,
        {
            "file": "devices/bench-1.toml",
            "line": 4,
            "column": 1,
            "severity": "problem",
            "device": "console",
            "key": "boudrate",
            "message": "boudrate: unknown key.",
            "suggestion": "baudrate",
        },
    )
    assert (warning["severity"], warning["key"], warning["file"]) == ("warning", "port", "devices/bench-2.toml")


def test_json_of_a_good_lab_is_an_empty_list(here: Here) -> None:
    here.write("devices/bench-1.toml", GOOD)
    assert json.loads(here.labkit("check", "--json").output) == []


def test_files_and_folders_are_checked_where_they_are_named(here: Here) -> None:
    here.write("devices/bench-1.toml", WRONG)
    here.write("new/bench-2.toml", TWO)
    here.write("new/bench-3.toml", WRONG)
    assert here.labkit("check", "new/bench-2.toml").output == "1 bench, 2 devices: all is well.\n"
    done = here.labkit("check", "new")
    assert done.output == SAID.replace("devices/bench-1", "new/bench-3") + "2 benches: 1 problem.\n"
    assert here.labkit("check", "devices", "new").output.endswith("3 benches: 2 problems.\n")


def test_file_that_is_not_there_is_refused(here: Here) -> None:
    here.write("devices/bench-1.toml", GOOD)
    done = here.labkit("check", "devices/bench-9.toml")
    assert done.code == 2
    assert "'devices/bench-9.toml' does not exist" in done.output


def test_any_folder_can_be_checked_from_outside_of_a_lab(here: Here) -> None:
    here.write("lab/devices/bench-1.toml", '[fan]\ndriver = "fan"\n')
    here.write("lab/drivers/fan.py", "import nothing_like_it\n")
    done = here.labkit("check", "lab/devices")
    assert done.code == 2
    assert done.output.startswith("drivers/fan.py: warning: plugin 'fan' is broken and was left out: ModuleNotFound")
    assert "lab/devices/bench-1.toml:2:1: [fan] driver: there is no driver 'fan'." in done.output
    assert done.output.endswith("1 bench: 1 problem, 1 warning.\n")


def test_folder_that_is_no_lab_says_so(here: Here) -> None:
    done = here.labkit("check")
    assert done.code == 2
    assert "There is no lab in" in done.output


def test_lab_without_devices_has_nothing_to_check(here: Here) -> None:
    (here.folder / "devices").mkdir()
    done = here.labkit("check")
    assert (done.code, done.output) == (0, "No bench is declared in devices.\n")


def test_what_can_hardly_be_meant_is_a_warning(here: Here) -> None:
    here.write("devices/bench-1.toml", '[bench]\ntitle = "x"\n')
    here.write("devices/bench-2.toml.txt", GOOD)
    assert here.labkit("check").output == (
        "devices/bench-1.toml: warning: no device is declared here.\n\n"
        "devices/bench-2.toml.txt: warning: is not read: the name of a bench's file ends in .toml.\n\n"
        "1 bench, 0 devices: 2 warnings.\n"
    )


def test_lab_that_is_simulated_is_checked_as_such(here: Here) -> None:
    here.write("devices/bench-1.toml", '[console]\ndriver = "serial"\n')
    assert here.labkit("check").code == 2
    done = here.labkit("check", LABKIT_SIMULATE="1")
    assert (done.code, done.output) == (0, "1 bench, 1 device, all simulated: all is well.\n")


# -- with an app


def test_app_says_where_its_devices_are(place: Place) -> None:
    place.write("lab.py", APP)
    place.write("benches/bench-1.toml", WRONG)
    done = place.labkit("check")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout == SAID.replace("devices/", "benches/") + "1 bench: 1 problem.\n"


def test_app_that_cannot_be_imported_does_not_matter_where_devices_lie_beside(place: Place) -> None:
    place.write("lab.py", "import nothing_like_it\n")
    place.write("devices/bench-1.toml", WRONG)
    done = place.labkit("check")
    assert (done.returncode, done.stdout) == (2, SAID + "1 bench: 1 problem.\n")
    assert done.stderr == (
        "Note: the lab itself can't be loaded. Importing 'lab' failed: No module named 'nothing_like_it'.\n"
    )


def test_app_that_cannot_be_imported_is_the_failure_where_there_is_nothing_beside(place: Place) -> None:
    place.write("lab.py", "import nothing_like_it\n")
    done = place.labkit("check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Importing 'lab' failed" in done.stderr


@pytest.mark.parametrize(("text", "code"), [(WRONG, 2), (GOOD, 0)])
def test_flask_weblab_check_does_the_same(place: Place, text: str, code: int) -> None:
    place.write("lab.py", APP)
    place.write("benches/bench-1.toml", text)
    done = place.module("flask", "--app", "lab", "weblab", "check")
    assert (done.returncode, done.stderr) == (code, "")
    assert ("boudrate: unknown key" in done.stdout) == (code == 2)


# -- on a terminal


def on_a_terminal(place: Place, **environment: str) -> str:
    """What `labkit check` writes to a terminal."""
    far, near = pty.openpty()
    with open(far, "rb", buffering=0) as reader:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit.cli", "check"], cwd=place.folder, stdin=subprocess.DEVNULL,
            stdout=near, stderr=near, env=place.environment | {"TERM": "xterm"} | environment,
        )  # fmt: skip
        os.close(near)
        written = b""
        try:
            while data := reader.read(4096):
                written += data
        except OSError:  # a pty whose other end is closed
            pass
        process.wait(60)
    return written.decode().replace("\r\n", "\n")


def test_colours_are_for_a_terminal_only(place: Place) -> None:
    place.write("devices/bench-1.toml", WRONG)
    assert "\x1b[31m" in on_a_terminal(place)
    assert on_a_terminal(place, NO_COLOR="1") == place.labkit("check").stdout


# -- where the same is said elsewhere


def test_run_refuses_what_clashes_and_loop_logs_what_is_doubtful(place: Place) -> None:
    place.write("devices/bench-1.toml", GOOD)
    place.write("devices/bench-2.toml", GOOD)
    done = place.labkit("run", "--port", "0")
    assert done.returncode == 2
    assert "devices/bench-2.toml:3: [console] match.usb_serial: serial port with USB serial" in done.stderr
    assert " number 7543 is taken already by bench-1/console (devices/bench-1.toml:3)" in done.stderr
    place.write("devices/bench-2.toml", DOUBTFUL)
    with place.running("loop", "--quiet") as loop:
        loop.says("declaration is doubtful: devices/bench-2.toml:3: [console] port: /dev/ttyUSB0 may be")
    assert loop.err.count("doubtful") == 1


def test_check_needs_no_library_of_a_driver(tmp_path: Path) -> None:
    (tmp_path / "bench-1.toml").write_text(TWO)
    code = (
        "import sys; sys.modules.update({'serial': None, 'gpiod': None, 'av': None, 'PIL': None});"
        "from labkit.cli import main; main(['check', sys.argv[1]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 bench, 2 devices: all is well.\n"), done.stderr


def test_the_store_that_the_lab_names_is_tried_without_a_word_of_its_password(here: Here, server: StoreServer) -> None:
    here.write("devices/bench-1.toml", GOOD)
    url = server.url.replace("unix://", "unix://ada:s3cret@")
    with contextlib.closing(Store(server.url, "lab")) as owner:
        owner.command("ACL", "SETUSER", "ada", "on", ">s3cret", "~*", "&*", "+@all")
        assert here.labkit("check", WEBLAB_REDIS_URL=url) == (0, "1 bench, 1 device: all is well.\n")
        owner.command("ACL", "SETUSER", "ada", "-xadd")
        done = here.labkit("check", WEBLAB_REDIS_URL=url)
        assert done.code == 2
        assert done.output.startswith(f"WEBLAB_REDIS_URL: The store at unix://{server.socket} refuses XADD")
        assert "s3cret" not in done.output
        assert here.labkit("check", "devices", WEBLAB_REDIS_URL=url).code == 0  # only the declarations were asked about


def test_a_store_that_does_not_answer_here_is_only_told(here: Here) -> None:
    here.write("devices/bench-1.toml", GOOD)
    done = here.labkit("check", WEBLAB_REDIS_URL="redis://ada:s3cret@127.0.0.1:1/0")
    assert done.code == 0
    assert done.output.startswith("WEBLAB_REDIS_URL: warning: the store at redis://127.0.0.1:1/0 could not be tried.")
    assert "s3cret" not in done.output


def test_a_url_of_sentinels_without_a_master_is_a_problem(here: Here) -> None:
    here.write("devices/bench-1.toml", GOOD)
    done = here.labkit("check", WEBLAB_REDIS_URL="redis+sentinel://127.0.0.1:26379")
    assert done.code == 2
    assert "names no Sentinel, or no master" in done.output
