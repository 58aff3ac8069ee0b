"""How a fault reaches a twin: on any instance, from another process, for as long as who simulates lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.plugin.simulated_fan import SimulatedFan
from tests.plugin.simulated_fan import fan as fan
from tests.plugin.simulated_fan import link as link
from tests.plugin.simulated_fan import make as make
from tests.toy import GUARD

# Another process injects: the folder and the fault are its arguments.
INJECT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from labkit.plugin import DriverOptions, Twin
link = SimpleNamespace(name="bench-1/fan", folder=Path(sys.argv[1]))
Twin(DriverOptions(), link).inject(sys.argv[2])
"""


# A host: opens a twin, says so, and stays until its input ends.
HOST = """
import sys
from pathlib import Path
from types import SimpleNamespace
from labkit.plugin import DriverOptions, Twin
twin = Twin(DriverOptions(), SimpleNamespace(name="bench-1/fan", folder=Path(sys.argv[1]), lost=print))
twin.simulate("open")
print("open", flush=True)
sys.stdin.read()
"""


def test_faults_add_up_and_are_told_on_any_instance(fan: SimulatedFan, make: Callable[[], SimulatedFan]) -> None:
    for fault in ("slow", "garbage", "unplug"):
        make().inject(fault)
    assert make().injected() == {"slow", "garbage", "unplug"}
    make().inject("plug")
    assert make().injected() == {"slow", "garbage"}
    make().inject("normal")
    assert make().injected() == frozenset()


def test_unknown_fault_is_refused_by_name(fan: SimulatedFan) -> None:
    with pytest.raises(ValueError, match="There is no fault 'fire'") as refused:
        fan.inject("fire")
    assert str(refused.value).endswith("There are: unplug, plug, hang, garbage, slow, normal.")


def test_nobody_simulates_where_no_twin_was_open(make: Callable[[], SimulatedFan], link: Any) -> None:
    with pytest.raises(ConnectionError, match="Nobody simulates 'bench-1/fan' at the moment"):
        make().inject("hang")
    link.folder.joinpath("faults").unlink(missing_ok=True)
    link.folder.rmdir()
    with pytest.raises(ConnectionError, match="Nobody has simulated 'bench-1/fan' here yet"):
        make().inject("hang")


def test_another_process_injects(fan: SimulatedFan, link: Any) -> None:
    subprocess.run([sys.executable, "-c", INJECT, str(link.folder), "unplug"], check=True, timeout=60)
    assert link.was_lost.wait(GUARD)


def test_faults_end_with_the_process_that_they_were_for(make: Callable[[], SimulatedFan], link: Any) -> None:
    command = [sys.executable, "-c", HOST, str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"open\n"
        make().inject("hang")
        host.kill()
    with pytest.raises(ConnectionError, match="Nobody simulates"):
        make().inject("slow")
    fan = make()
    fan.open()
    assert fan.injected() == frozenset()
    assert fan.say() == b"rrrr" * 8


def test_a_later_process_with_the_same_number_has_no_faults(fan: SimulatedFan, link: Any) -> None:
    (link.folder / "faults").write_text(f'{{"process": {{"pid": {os.getpid()}, "started": "1"}}, "faults": ["hang"]}}')
    with pytest.raises(ConnectionError, match="Nobody simulates"):
        fan.inject("slow")
    fan.close()
    fan.open()
    assert fan.injected() == frozenset()


def test_file_that_was_cut_short_counts_as_new(make: Callable[[], SimulatedFan], link: Any) -> None:
    (link.folder / "faults").write_text('{"process')
    fan = make()
    fan.open()
    assert fan.say() == b"rrrr" * 8


def test_what_a_killed_process_left_is_replaced(make: Callable[[], SimulatedFan], link: Any) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        opened = os.open(link.folder, os.O_PATH)
        left.bind(f"/proc/self/fd/{opened}/wake")
        os.close(opened)
    fan = make()
    fan.open()
    fan.inject("unplug")
    assert link.was_lost.wait(GUARD)
