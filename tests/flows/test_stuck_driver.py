"""A driver that hangs in spite of its interruption: its device is out, all others go on, the loop replaces itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.flows.harness import FlowLab
from tests.flows.people import Student, eventually

STUCK = """
import threading

from labkit.plugin import Driver, DriverOptions, command, hookimpl


class Stuck(Driver[DriverOptions]):
    kind = "stuck"

    def open(self): self.never = threading.Event()
    def close(self): pass
    def make_safe(self): pass
    def interrupt(self): pass

    @command
    def hang(self) -> None:
        self.never.wait()


@hookimpl
def labkit_drivers(): return [Stuck]
"""


def hang(student: Student, begun: Path | None = None) -> int:
    """Ask for a call that hangs; one that did not begin in its two seconds is asked for again. begun: made by it.

    Returns the status of the answer.
    """
    for _ in range(10):
        status, _, _ = student.ask("POST", "/hang", b"")
        if begun is None or begun.exists():
            break
    return int(status)


def test_a_stuck_driver_takes_only_its_own_device_out_until_the_loop_replaced_itself(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab(benches=2, settings={"LABKIT_RELEASE_TIMEOUT": 3})
    (lab.folder / "drivers").mkdir()
    (lab.folder / "drivers" / "stuck.py").write_text(STUCK)
    with open(lab.folder / "devices" / "bench-1.toml", "a") as file:
        file.write('\n[stuck]\ndriver = "stuck"\n')
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    first = lab.rlms.must_start("first").enter()
    eventually(lambda: hang(first) == 500 and "CallLostError" in lab.logs(), what="a call that hung, and was lost")
    second = lab.rlms.must_start("second", client={"write": "# second\r"}).enter()
    lab.boards[1].wait_received(b"# second\r")
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")
    stuck = next(device for device in lab.benches()[0].devices if device.name == "bench-1/stuck")
    assert (stuck.condition, stuck.hold) == ("faulty", "none")
    assert "hangs" in stuck.reason
    status, answer = lab.rlms.start("third")
    assert status == 503
    assert "bench-1 is out of service: its device bench-1/stuck is faulty" in answer["message"]
    assert second.ask("POST", "/write", b"# still\r")[0] == 200
    eventually(lambda: lab.rlms.dispose(second.session_id)["message"] == "Deleted")
    lab.wait_free()  # by a loop that has replaced itself under the same process id
    assert loop.poll() is None
    assert "loop replaces itself" in lab.logs()
    lab.rlms.must_start("fourth")


PIPE = """
import os

from labkit.plugin import Driver, DriverOptions, command, hookimpl


class PipeOptions(DriverOptions):
    path: str


class Pipe(Driver[PipeOptions]):
    '''Hangs in the kernel: opening a pipe that nobody writes to ends by nothing that Python could do.'''

    kind = "pipe"

    def open(self): pass
    def close(self): pass
    def make_safe(self): pass
    def interrupt(self): pass

    @command
    def hang(self) -> None:
        open(self.options.path + ".waits", "w").close()
        os.close(os.open(self.options.path, os.O_RDONLY))
        open(self.options.path + ".back", "w").close()


@hookimpl
def labkit_drivers(): return [Pipe]
"""


def test_a_device_that_hangs_in_the_kernel_is_the_drivers_fault_and_leaves_its_neighbours_at_full_speed(
    make_lab: Callable[..., FlowLab],
) -> None:
    lab = make_lab(settings={"LABKIT_RELEASE_TIMEOUT": 3})
    pipe = lab.folder / "pipe"
    os.mkfifo(pipe)
    (lab.folder / "drivers").mkdir()
    (lab.folder / "drivers" / "pipe.py").write_text(PIPE)
    with open(lab.folder / "devices" / "bench-1.toml", "a") as file:
        file.write(f'\n[stuck]\ndriver = "pipe"\npath = "{pipe}"\n')
    lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start("ada", length=300).enter()
    with ThreadPoolExecutor(1) as pool, student.socket() as page:
        hanging = pool.submit(hang, student, pipe.with_suffix(".waits"))
        eventually(pipe.with_suffix(".waits").exists, what="the call at the pipe")
        # the neighbour answers while the call hangs, call after call, and is never told that anything is wrong
        lines = [f"# call {number}\r".encode() for number in range(30)]
        for line in lines:
            assert page.write("bench-1/console", line)["ok"], line
        assert hanging.result(60) == 500
        lab.boards[0].wait_received(lines[-1])
        told = eventually(lambda: [one for one in page.devices if one["condition"] == "faulty"])
        assert {(one["device"], one["blame"]) for one in told} == {("bench-1/stuck", "driver")}
        assert page.write("bench-1/console", b"# still\r")["ok"]
    stuck = next(device for device in lab.benches()[0].devices if device.name == "bench-1/stuck")
    assert (stuck.condition, stuck.blame) == ("faulty", "driver")
    assert "bench-1/stuck is faulty: hang hangs" in (shown := lab.labkit("devices"))
    assert "(to blame: driver)" in shown
    assert not pipe.with_suffix(".back").exists()
    with open(pipe, "wb", buffering=0):  # somebody writes to the pipe at last, and the thread comes back
        eventually(lambda: all(device.condition == "ok" for device in lab.benches()[0].devices))
    assert student.ask("POST", "/write", b"# again\r")[0] == 200
