"""A port that is pulled out and put back in the middle of a session: told, refused at once, opened again, gone on."""

from __future__ import annotations

import errno
import itertools
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import Page, eventually
from tests.flows.visit import SAFE

CONSOLE = "bench-1/console"
PLAIN_OPEN = """
import os, sys
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    os.close(os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    print("opened")
except OSError as error:
    print(error.errno)
"""


def plain_open(path: Path) -> str:
    """What an ordinary user's program gets that opens the tty: 'opened', or the number of the error."""
    tty = path.resolve()
    tty.chmod(0o666)
    command = [sys.executable, "-I", "-c", PLAIN_OPEN, str(tty)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=60).stdout.strip()


def told(page: Page, condition: str) -> dict[str, object]:
    """Wait until the page was told of a condition last. Returns what it was told first of it; the reason may change."""

    def latest() -> list[dict[str, object]]:
        return list(itertools.takewhile(lambda one: one["condition"] == condition, reversed(list(page.devices))))

    return dict(eventually(latest, what=f"{condition} on the page")[-1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_session_goes_on_with_a_port_that_was_unplugged_and_plugged_in_again(
    make_lab: Callable[..., FlowLab], layout: str
) -> None:
    lab = make_lab().start(layout)
    board = lab.boards[0]
    student = lab.rlms.must_start("ada", length=300).enter()
    fences = lab.sessions.touch(student.session_id, poll=False).fences
    with student.socket() as page, ThreadPoolExecutor(1) as pool:
        page.subscribe(CONSOLE)
        page.write(CONSOLE, b"echo before\r")
        page.wait_bytes(b"\r\nbefore\r\n")
        first_epoch = str(page.cursor).partition(":")[0]
        reading = pool.submit(student.ask, "POST", "/ask?line=%23waits&until=never&timeout=250")
        board.wait_received(b"#waits\r")

        board.control("unplug")
        away = told(page, "offline")
        assert (away["device"], away["blame"]) == (CONSOLE, "device")
        assert "unplugged" in str(away["reason"])
        assert reading.result(60)[0] == 500  # the lab's code that was waiting is told as well, long before its time
        refused = page.write(CONSOLE, b"echo lost\r")
        assert refused["ok"] is False
        assert "is offline" in refused["error"]["message"]
        assert student.ask("POST", "/write", b"echo lost\r")[0] == 500
        assert "DeviceOfflineError" in lab.logs()
        assert lab.sessions.touch(student.session_id, poll=False).state == "active"

        before = len(board.received())
        board.control("plug")
        assert told(page, "ok")["blame"] == ""
        page.write(CONSOLE, b"echo after\r")
        page.wait_bytes(b"\r\nafter\r\n")
        since = board.received()[before:]
        assert since.index(SAFE) < since.index(b"echo after\r")  # made safe, and only then given back
        assert b"lost" not in board.received()
        gap = next(entry for entry in page.received if not entry["cursor"].startswith(first_epoch))
        assert gap["lost"] == -1  # nobody can know what the board said meanwhile, and the page says so
        assert plain_open(board.path) == str(errno.EBUSY)
    assert lab.sessions.touch(student.session_id, poll=False).fences == fences
    changes = [change for change in Log(lab).changes() if change[1:] != ("being opened", "")]
    conditions = [condition for condition, _ in itertools.groupby(change[0] for change in changes)]
    assert conditions == ["ok", "offline", "ok"]  # it is tried each second while it is away, which changes the reason
    eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
    lab.wait_free()


class Log:
    """The log of bench-1, as the store has it."""

    def __init__(self, lab: FlowLab):
        self._lab = lab

    def changes(self) -> list[tuple[str, str, str]]:
        log = self._lab.reservations.bench_log("bench-1", 1000)
        return [(change.after, change.reason, change.blame) for change in log]
