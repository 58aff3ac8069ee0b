"""`labkit demo`: the first thing that anybody sees of labkit."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cli.program import GUARD, Place, Running, a_place, browser, request, wait_for


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A demo that runs while some tests use it one after another; each gives back the bench.

    It was started where there is a lab already, whose settings and port it must leave alone.
    """

    place: Place
    demo: Running
    taken: int

    @property
    def link(self) -> str:
        return f"{self.demo.url}/labkit/demo"

    def labkit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.place.labkit(*arguments, LABKIT_DEMO=said_folder(self.demo))


def said_folder(demo: Running) -> str:
    """Where it says that commands of another terminal find it."""
    demo.says("  labkit devices")
    found = re.search(r"LABKIT_DEMO=(\S+)", demo.out)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with a_place() as place, socket.socket() as other:
        place.write("devices/bench-9.toml", "[console]\ndriver = 'serial'\nboudrate = 1\n")
        place.write("lab.py", "raise SystemExit('must not be imported')\n")
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = {"WEBLAB_REDIS_URL": "redis://127.0.0.1:1/0", "LABKIT_APP": "nothing"}
        with place.running("demo", "--port", str(port), "--time", "90", **settings) as demo:
            demo.says("Student")
            yield Shared(place=place, demo=demo, taken=port)


@pytest.fixture
def free(shared: Shared) -> Iterator[Shared]:
    """The demo with its bench free, before and after."""
    yield shared
    assert shared.labkit("release", "bench-1").stdout.endswith(("bench-1 is free.\n", "nothing was done.\n"))


def test_summary_shows_store_loop_and_web_at_80_columns(shared: Shared) -> None:
    demo = shared.demo
    demo.says("  labkit devices")
    for part in ("store", "loop", "web"):
        assert re.search(rf"^  {part}  .* ready *$", demo.out, re.MULTILINE), demo.out
    assert "bench-1  camera, console, lines (simulated)" in demo.out
    assert max(len(line) for line in demo.out.splitlines() if shared.place.temporary.name not in line.split("/")) <= 80
    assert demo.err == ""


def test_demo_prints_a_link_by_which_a_student_gets_a_bench_and_a_second_one_is_refused(free: Shared) -> None:
    assert f"Student   {free.link}\n" in free.demo.out
    status, text = request(free.demo.url)  # leads there
    assert status == 200
    assert "90 seconds" in text
    first = browser()
    status, text = request(free.link, data=b"", opener=first)
    assert status == 200
    student = re.search(r"student-\d+", text)
    assert student
    assert "bench-1/console" in text
    status, text = request(free.link, data=b"")
    assert status == 503
    assert re.search(r"bench-1 is reserved by another session since [0-9:]+ UTC until [0-9:]+ UTC", text)
    assert "data-wait=" in text
    status, text = request(free.link, data=b"", opener=first)  # who is in already gets no second session
    assert status == 200
    assert student[0] in text


def test_demo_takes_a_free_port_where_its_own_is_taken_and_says_so(shared: Shared) -> None:
    assert f"Port {shared.taken} is in use by another program; the demo takes " in shared.demo.out
    assert not shared.demo.url.endswith(f":{shared.taken}")
    assert request(shared.link)[0] == 200


def test_demo_heeds_nothing_of_the_users_own_lab(shared: Shared) -> None:
    """It was started in the folder of a lab that can't be loaded, with that lab's settings in its environment."""
    assert (shared.place.folder / "lab.py").exists()
    assert request(shared.link)[0] == 200
    assert [path.name for path in shared.place.folder.iterdir() if path.name == "instance"] == []


def test_commands_of_another_terminal_work_on_the_demo(free: Shared) -> None:
    started = free.labkit("fake", "new")
    assert started.returncode == 0, started.stderr
    assert f"\n{free.demo.url}/callback/" in started.stdout
    assert "reserved" in free.labkit("devices").stdout
    released = free.labkit("release", "bench-1")
    assert released.stdout.endswith("bench-1 is free.\n"), released
    relative = os.path.relpath(said_folder(free.demo), free.place.folder)
    assert "bench-1/console" in free.place.labkit("devices", LABKIT_DEMO=relative).stdout


# -- each with a demo of its own


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_demo_leaves_nothing_behind_when_it_is_ended_in_order(place: Place, number: signal.Signals) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("Student")
        request(f"{demo.url}/labkit/demo", data=b"")
        assert place.left_in_temporary()
        folder = said_folder(demo)
        assert demo.end(number) == 0
        wait_for(lambda: place.processes() == {}, "the end of all processes")
        assert place.left_in_temporary() == []
        assert list(place.folder.iterdir()) == []
    gone = place.labkit("devices", LABKIT_DEMO=folder)
    assert gone.returncode == 2
    assert gone.stderr.startswith(f"Error: There is no demo at {folder}: it has ended.")


def test_demo_that_is_killed_leaves_nothing_behind_either(place: Place) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("Student")
        assert demo.end(signal.SIGKILL) == -signal.SIGKILL
        place.wait_until_nothing_is_left()


def test_demo_that_is_ended_before_it_is_ready_leaves_nothing_behind(place: Place) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("Ctrl-C ends it")
        demo.end(signal.SIGINT)
        place.wait_until_nothing_is_left()


@pytest.mark.parametrize("moment", ["labkit.cli.news.News.heard", "labkit.lab.try_store", "labkit.lab.Store"])
def test_demo_that_is_interrupted_while_its_store_begins_does_not_keep_who_waits_for_the_stores_end(
    place: Place, moment: str
) -> None:
    code = f"""
from unittest import mock
from labkit.cli import demo, main
demo.SWEEP_SECONDS = 600.0
with mock.patch("{moment}", side_effect=KeyboardInterrupt):
    main(["demo", "--port", "0", "--no-browser"])
"""
    ended = place.python("-c", code)
    assert ended.returncode == 1
    assert "Aborted!" in ended.stderr
    place.wait_until_nothing_is_left()


def test_ctrl_c_at_a_terminal_ends_the_demo_in_order(place: Place) -> None:
    """The terminal sends SIGINT to its whole foreground group; the children are not in it."""
    controller, terminal = pty.openpty()
    code = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    code += "from labkit.cli import main; main(['demo', '--port', '0', '--no-browser'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=place.folder, env=place.environment,
        stdin=terminal, stdout=terminal, stderr=terminal,
    ) as process:  # fmt: skip
        os.close(terminal)
        shown = b""
        while b"Terminal" not in shown:
            shown += os.read(controller, 4096)
        os.write(controller, b"\x03")
        while b"Ended." not in shown:
            shown += os.read(controller, 4096)
        assert process.wait(GUARD) == 0
    os.close(controller)
    assert b"Traceback" not in shown
    assert b"was killed" not in shown
    wait_for(lambda: place.processes() == {}, "the end of all processes")


def test_two_demos_at_once_are_two_labs(free: Shared, place: Place) -> None:
    with place.running("demo", "--port", "0") as other:
        other.says("Student")
        for demo in (free.demo, other):
            assert request(f"{demo.url}/labkit/demo", data=b"", opener=browser())[0] == 200
        assert free.demo.url != other.url


def test_session_of_a_demo_ends_when_its_time_is_over(place: Place) -> None:
    with place.running("demo", "--port", "0", "--time", "10") as demo:
        demo.says("Student")
        link = f"{demo.url}/labkit/demo"
        student = browser()
        assert "bench-1/console" in request(link, data=b"", opener=student)[1]
        wait_for(lambda: 'href="/labkit/demo"' in request(f"{demo.url}/labkit/", opener=student)[1], "the way back")
        other = browser()
        wait_for(lambda: request(link, data=b"", opener=other)[0] == 200, "the next student's turn")
