"""A device that is faulty at its release: its bench is out, the next student gets another, and repaired it comes back.

Each step as the owner sees it: `labkit devices`, `labkit bench log`, and the log of the loop.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import Student, eventually

LAMP = """
import os
from pathlib import Path

from labkit.plugin import Driver, DriverOptions, SafeStateError, command, hookimpl


class LampOptions(DriverOptions):
    file: str


class Lamp(Driver[LampOptions]):
    '''A lamp whose hardware is a file; where another file `stuck` lies beside it, its relay sticks.'''

    kind = "lamp"

    def open(self): self.file = Path(self.options.file)
    def close(self): pass
    def interrupt(self): pass

    def make_safe(self):
        self._set("off")
        found = self.file.read_text()
        if found != "off":
            raise SafeStateError(f"the lamp was switched off and is {found}", device=self.link.name)

    @command
    def write(self, state: bytes) -> int:
        self._set(state.decode())
        return len(state)

    def _set(self, state):
        if not self.file.with_name(self.file.name + ".stuck").exists():
            self.file.write_text(state)


@hookimpl
def labkit_drivers(): return [Lamp]
"""
REASON = "SafeStateError: the lamp was switched off and is on"


class Lamps:
    """A lab with two benches of one lamp each, and what its owner sees."""

    def __init__(self, lab: FlowLab):
        self.lab = lab
        (lab.folder / "drivers").mkdir()
        (lab.folder / "drivers" / "lamp.py").write_text(LAMP)
        for bench in ("bench-1", "bench-2"):
            text = f'[console]\ndriver = "lamp"\nfile = "{self.file(bench)}"\n'
            (lab.folder / "devices" / f"{bench}.toml").write_text(text)

    def file(self, bench: str) -> Path:
        return self.lab.folder / f"lamp-{bench}"

    def stick(self, bench: str) -> None:
        self.file(bench).with_name(f"lamp-{bench}.stuck").touch()

    def repair(self, bench: str) -> None:
        self.file(bench).with_name(f"lamp-{bench}.stuck").unlink()

    def device(self, bench: str) -> dict[str, Any]:
        """One device, as `labkit devices --json` shows it."""
        rows = json.loads(self.lab.labkit("devices", "--json"))
        return next(dict(row) for row in rows if row["bench"] == bench)

    def log(self, bench: str) -> list[tuple[str, str, str, str, str]]:
        """What `labkit bench log` shows from the first ok on."""
        rows = json.loads(self.lab.labkit("bench", "log", bench, "--json"))
        told = [(row["device"], row["before"], row["after"], row["reason"], row["blame"]) for row in rows]
        return told[next(place for place, row in enumerate(told) if row[2] == "ok") + 1 :]

    def bench_of(self, student: Student) -> str:
        (bench,) = self.lab.sessions.touch(student.session_id, poll=False).fences
        return bench


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bench_whose_device_is_faulty_at_release_is_out_until_it_was_repaired(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lamps = Lamps(make_lab(benches=0))
    lab = lamps.lab.start(layout)
    first = lab.rlms.must_start("first").enter()
    assert lamps.bench_of(first) == "bench-1"
    assert first.ask("POST", "/write", b"on")[0] == 200
    lamps.stick("bench-1")
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")

    known = eventually(lambda: (row := lamps.device("bench-1"))["hold"] == "none" and row)
    assert (known["condition"], known["reason"], known["blame"]) == ("faulty", REASON, "device")
    assert f"device changed device=bench-1/console condition=faulty blame=device reason={REASON}" in lab.logs()

    second = lab.rlms.must_start("second").enter()
    assert lamps.bench_of(second) == "bench-2"
    status, answer = lab.rlms.start("third")
    assert status == 503
    assert f"bench-1 is out of service: its device bench-1/console is faulty ({REASON})" in answer["message"]

    repaired_by_hand = layout == "services"
    if repaired_by_hand:
        lab.labkit("bench", "maintenance", "bench-1", "relay sticks", "--wait")
        lamps.repair("bench-1")
        lab.labkit("bench", "resume", "bench-1")
    else:
        lamps.repair("bench-1")  # the host tries again by itself
    lab.wait_free("bench-1")
    assert lamps.file("bench-1").read_text() == "off"
    third = lab.rlms.must_start("third")
    assert lamps.bench_of(third) == "bench-1"
    assert [row[:3] for row in lamps.log("bench-1")] == [
        ("bench-1/console", "ok", "faulty"),
        *(REPAIR if repaired_by_hand else [("bench-1/console", "faulty", "ok")]),
    ]
    assert lamps.log("bench-1")[0] == ("bench-1/console", "ok", "faulty", REASON, "device")
    if layout == "services":  # else the app's log is for the app to set up, and has warnings only
        assert "device changed device=bench-1/console condition=ok" in lab.logs().rpartition("condition=faulty")[2]


REPAIR = [
    ("", "in service", "maintenance"),
    ("bench-1/console", "faulty", "offline"),
    ("", "maintenance", "in service"),
    ("bench-1/console", "offline", "offline"),
    ("bench-1/console", "offline", "ok"),
]
