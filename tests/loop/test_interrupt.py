"""An operation that is interrupted has two seconds of a machine that runs: what stands still is not its fault."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.frozen import freeze, thaw

PROGRAM = """\
import sys, threading, time
from labkit.loop.operation import Operation, interrupt

class Pump:
    def interrupt(self):
        print("interrupted", flush=True)
        if blocks.is_set():
            wanted.set()

def run():  # it needs a few turns to come back, each of which the machine has to give it
    time.sleep(float(sys.argv[2]))
    blocks.set()
    wanted.wait()
    for _ in range(int(sys.argv[1])):
        time.sleep(0.1)
    operation.finish()
    print("done", flush=True)

blocks, wanted = threading.Event(), threading.Event()
operation = Operation(what="pump", fence=1, started=0, until=0)
threading.Thread(target=run, daemon=True).start()
interrupt(operation, Pump, "a test wants it", lambda _: print("stuck", flush=True))
sys.stdin.read()
"""
STOOD_STILL = 3.0  # seconds; more than an operation has to end


def said(turns: int, *, stand_still: bool, on_its_way: float = 0.0) -> list[str]:
    """What the program says, up to its last word: whether its operation ended or counts as stuck.

    on_its_way: seconds until the operation feels an interrupt.
    """
    command = [sys.executable, "-c", PROGRAM, str(turns), str(on_its_way)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline().strip()]
        if stand_still:
            freeze(program.pid)
            time.sleep(STOOD_STILL)
            thaw(program.pid)
        while lines[-1] not in ("done", "stuck"):
            lines.append(program.stdout.readline().strip())
        program.kill()
    return lines


@pytest.mark.parametrize("on_its_way", [0.0, 1.0])
def test_machine_that_stands_still_makes_no_device_stuck(on_its_way: float) -> None:
    said_by_it = said(5, stand_still=True, on_its_way=on_its_way)
    assert said_by_it[0] == "interrupted"
    assert said_by_it[-1] == "done"


def test_what_runs_on_after_its_time_is_stuck() -> None:
    assert said(100_000, stand_still=False)[-1] == "stuck"
