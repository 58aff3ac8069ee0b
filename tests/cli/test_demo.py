"""`labkit demo`: the first thing that anybody sees of labkit."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.program import GUARD, Place, browser, request, wait_for


def test_demo_prints_a_link_by_which_a_student_gets_a_bench_and_a_second_one_is_refused(place: Place) -> None:
    with place.running("demo", "--port", "0", "--time", "90") as demo:
        demo.says("Student")
        link = f"{demo.url}/labkit/demo"
        assert f"Student   {link}\n" in demo.out
        status, text = request(demo.url)  # leads there
        assert status == 200
        assert "90 seconds" in text
        first = browser()
        status, text = request(link, data=b"", opener=first)
        assert status == 200
        assert "student-1" in text
        assert "bench-1/console" in text
        status, text = request(link, data=b"")
        assert status == 503
        assert re.search(r"bench-1 is reserved by another session since [0-9:]+ UTC until [0-9:]+ UTC", text)
        assert "data-wait=" in text
        status, text = request(link, data=b"", opener=first)  # who is in already gets no second session
        assert status == 200
        assert "student-1" in text


def test_summary_shows_store_loop_and_web_at_80_columns(place: Place) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("  labkit devices")
        for part in ("store", "loop", "web"):
            assert re.search(rf"^  {part}  .* ready *$", demo.out, re.MULTILINE), demo.out
        assert "bench-1  camera, console, lines (simulated)" in demo.out
        assert max(len(line) for line in demo.out.splitlines() if place.temporary.name not in line.split("/")) <= 80
        assert demo.err == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_demo_leaves_nothing_behind_when_it_is_ended_in_order(place: Place, number: signal.Signals) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("Student")
        request(f"{demo.url}/labkit/demo", data=b"")
        assert place.left_in_temporary()
        assert demo.end(number) == 0
        wait_for(lambda: place.processes() == {}, "the end of all processes")
        assert place.left_in_temporary() == []
        assert list(place.folder.iterdir()) == []


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


def test_demo_takes_a_free_port_where_its_own_is_taken_and_says_so(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with place.running("demo", "--port", str(port)) as demo:
            demo.says("Student")
            assert f"Port {port} is in use by another program; the demo takes " in demo.out
            assert not demo.url.endswith(f":{port}")
            assert request(f"{demo.url}/labkit/demo")[0] == 200


def test_two_demos_at_once_are_two_labs(place: Place) -> None:
    with place.running("demo", "--port", "0") as one, place.running("demo", "--port", "0") as other:
        for demo in (one, other):
            demo.says("Student")
        for demo in (one, other):
            assert request(f"{demo.url}/labkit/demo", data=b"", opener=browser())[0] == 200
        assert one.url != other.url


def test_demo_heeds_nothing_of_the_users_own_lab(place: Place) -> None:
    place.write("devices/bench-9.toml", "[console]\ndriver = 'serial'\nboudrate = 1\n")
    place.write("lab.py", "raise SystemExit('must not be imported')\n")
    with place.running("demo", "--port", "0", WEBLAB_REDIS_URL="redis://127.0.0.1:1/0", LABKIT_APP="nothing") as demo:
        demo.says("Student")


def test_commands_of_another_terminal_work_on_the_demo(place: Place) -> None:
    with place.running("demo", "--port", "0") as demo:
        demo.says("LABKIT_DEMO=")
        folder = re.search(r"LABKIT_DEMO=(\S+)", demo.out)
        assert folder
        environment = {"LABKIT_DEMO": folder[1]}
        started = place.labkit("fake", "new", **environment)
        assert started.returncode == 0, started.stderr
        assert f"\n{demo.url}/callback/" in started.stdout
        assert "reserved" in place.labkit("devices", **environment).stdout
        released = place.labkit("release", "bench-1", **environment)
        assert released.stdout.endswith("bench-1 is free.\n"), released
        relative = os.path.relpath(folder[1], place.folder)
        assert "bench-1/console" in place.labkit("devices", LABKIT_DEMO=relative).stdout
    gone = place.labkit("devices", **environment)
    assert gone.returncode == 2
    assert gone.stderr.startswith(f"Error: There is no demo at {folder[1]}: it has ended.")


def test_session_of_a_demo_ends_when_its_time_is_over(place: Place) -> None:
    with place.running("demo", "--port", "0", "--time", "2") as demo:
        demo.says("Student")
        link = f"{demo.url}/labkit/demo"
        student = browser()
        assert "bench-1/console" in request(link, data=b"", opener=student)[1]
        wait_for(lambda: 'href="/labkit/demo"' in request(f"{demo.url}/labkit/", opener=student)[1], "the way back")
        other = browser()
        wait_for(lambda: request(link, data=b"", opener=other)[0] == 200, "the next student's turn")
