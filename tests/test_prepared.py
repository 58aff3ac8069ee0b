"""A prepared process is what `python -m MODULE` is in a process of its own, but quicker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import prepared
from tests.prepared import ROOT
from tests.toy import wait_until

SLEEPER = """
import sys, threading
print("asleep", flush=True)
threading.Event().wait(600)
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}


@pytest.fixture
def sleeper(tmp_path: Path, environment: dict[str, str]) -> Iterator[prepared.Prepared]:
    """A process that says that it sleeps, and does; it ends with the test."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    with open(tmp_path / "said", "wb") as said:
        process = prepared.start(
            "sleeper", [], folder=tmp_path, environment=environment, out=said.fileno(), err=said.fileno()
        )
    try:
        wait_until(lambda: (tmp_path / "said").read_bytes() == b"asleep\n", "its first word")
        yield process
    finally:
        process.kill()
        process.wait(60)


def test_it_sees_what_a_process_of_its_own_would_see(tmp_path: Path, environment: dict[str, str]) -> None:
    arguments = ["3", "--option", "a b"]
    own = subprocess.run(
        [sys.executable, "-m", "tests.facts_of_a_process", *arguments], cwd=tmp_path, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    fork = prepared.run("tests.facts_of_a_process", arguments, folder=tmp_path, environment=environment, timeout=60)
    assert (own.returncode, fork.returncode) == (3, 3)
    assert json.loads(fork.stdout) == json.loads(own.stdout)
    assert fork.stderr == own.stderr == "a complaint\n"


def test_it_finds_the_modules_of_its_own_folder_and_path(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "said.py").write_text("import beside\nprint(__name__, beside.NAME)\n")
    environment["PYTHONPATH"] = str(tmp_path / "site")
    done = prepared.run("said", [], folder=tmp_path, environment=environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "__main__ beside\n", "")


def test_what_it_raises_ends_it_as_it_ends_any_program(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "broken.py").write_text("1 // 0\n")
    done = prepared.run("broken", [], folder=tmp_path, environment=environment, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("ZeroDivisionError: integer division or modulo by zero\n")


def test_one_that_has_not_ended_in_time_is_killed(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER + "\n")
    with pytest.raises(subprocess.TimeoutExpired):
        prepared.run("sleeper", [], folder=tmp_path, environment=environment, timeout=0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signal_that_ends_it_is_its_exit_code(sleeper: prepared.Prepared, number: signal.Signals) -> None:
    assert sleeper.poll() is None
    sleeper.send_signal(number)
    assert sleeper.wait(60) == -number
    assert (sleeper.poll(), sleeper.returncode) == (-number, -number)
    assert not Path(f"/proc/{sleeper.pid}").exists()
    sleeper.kill()  # twice is fine


def test_waiting_for_it_can_be_limited(sleeper: prepared.Prepared) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.01)
    ending = threading.Timer(0.05, sleeper.terminate)
    ending.start()
    assert wait_until(sleeper.poll, "its end") == -signal.SIGTERM
    ending.join()


def test_whatever_labkit_imports_is_there_already(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "there.py").write_text("import sys\nprint('labkit.extension' in sys.modules)\n")
    done = prepared.run("there", [], folder=tmp_path, environment=environment, timeout=60)
    assert done.stdout == "True\n"
