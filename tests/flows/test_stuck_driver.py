"""A driver that hangs in spite of its interruption: its device is out, all others go on, the loop replaces itself."""

from __future__ import annotations

from collections.abc import Callable

from tests.flows.harness import FlowLab, eventually

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
    assert first.ask("POST", "/hang", b"")[0] == 500
    assert "CallLostError" in lab.logs()
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
