"""Nobody else gets at an open port: shown by an ordinary user, since the kernel lets root pass TIOCEXCL."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import DeviceOfflineError
from labkit.testing.board import BoardProcess
from labkit_plugins.holders import holders
from labkit_plugins.permission import forbidden
from labkit_plugins.serial import SerialOptions, SerialPort
from tests.conftest import OrdinaryUser
from tests.plugins.serial.conftest import RecordingLink

OpenPort = Callable[..., SerialPort]

PLAIN_OPEN = """
become_ordinary()
try:
    os.close(os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    print("opened")
except OSError as error:
    print(error.errno)
"""

# The real driver as an ordinary user: opens the port, says so, and stays until it is killed or its stdin ends.
DRIVER = """
from pathlib import Path
from types import SimpleNamespace
import serial
from labkit_plugins.serial import SerialOptions, SerialPort
import labkit_plugins.serial.line
become_ordinary()
link = SimpleNamespace(name="bench-2/other", folder=Path("/"), emit=lambda *_: None, lost=print)
try:
    SerialPort(SerialOptions(port=sys.argv[1]), link).open()
    print("opened", flush=True)
    sys.stdin.read()
except OSError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def tty(board: BoardProcess) -> Path:
    """The board's tty with rights for everybody, so that nothing but TIOCEXCL is in anybody's way."""
    slave = board.path.resolve()
    slave.chmod(0o666)
    return slave


def test_plain_open_by_an_ordinary_user_fails_while_we_have_it(
    tty: Path, board: BoardProcess, open_port: OpenPort, ordinary_user: OrdinaryUser
) -> None:
    assert ordinary_user.run(PLAIN_OPEN, tty) == "opened\n"
    board.control("ready")
    open_port()
    board.path.resolve().chmod(0o666)
    assert ordinary_user.run(PLAIN_OPEN, board.path.resolve()) == f"{errno.EBUSY}\n"


def test_plain_open_works_again_after_close(
    board: BoardProcess, open_port: OpenPort, ordinary_user: OrdinaryUser
) -> None:
    keep = os.open(board.path, os.O_RDWR | os.O_NOCTTY)  # so that the board sees no hang-up, and makes no new pty
    port = open_port()
    slave = board.path.resolve()
    slave.chmod(0o666)
    port.close()
    assert ordinary_user.run(PLAIN_OPEN, slave) == "opened\n"
    os.close(keep)


def test_second_driver_as_an_ordinary_user_is_refused_by_tiocexcl(
    tty: Path, open_port: OpenPort, board: BoardProcess, ordinary_user: OrdinaryUser
) -> None:
    open_port()
    board.path.resolve().chmod(0o666)
    answer = ordinary_user.run(DRIVER, board.path.resolve())
    assert answer.startswith("DeviceOfflineError Port /dev/pts/")
    assert "of 'bench-2/other' is busy" in answer


def test_second_driver_in_this_process_is_refused(open_port: OpenPort) -> None:
    open_port()
    with pytest.raises(DeviceOfflineError, match="is busy"):
        open_port()


def test_busy_port_names_process_and_program(board: BoardProcess, open_port: OpenPort) -> None:
    code = "import sys; port = open(sys.argv[1], 'rb', buffering=0); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(board.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DeviceOfflineError, match=rf"busy: process {other.pid} \(python\S*\) has it open"):
            open_port()
        assert [holder.pid for holder in holders(str(board.path))] == [other.pid]
        assert b"speed" not in board.received()
    board.control("ready")
    open_port()


def test_lock_of_another_careful_program_makes_it_busy(board: BoardProcess, open_port: OpenPort) -> None:
    other = os.open(board.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(DeviceOfflineError, match="is busy"):
        open_port()
    os.close(other)


FORKING = """\
import os, sys
from pathlib import Path
from labkit.plugin import DeviceLink
from labkit_plugins.serial import SerialOptions, SerialPort
from tests.plugins.serial.conftest import RecordingLink
def say(line): os.write(1, f"{line}\\n".encode())  # whole: two processes speak at once
tty = os.path.realpath(sys.argv[1])
port = SerialPort(SerialOptions(port=sys.argv[1]), RecordingLink(Path(sys.argv[2])))
port.open()
begun, begins = os.pipe()
child = os.fork()
if not child:
    say(f"child has it open: {tty in [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')]}")
    os.write(begins, b"x")
    sys.stdin.read()
    os._exit(0)
port.write(b"led 1 on\\r")
say("written")
os.read(begun, 1)  # until its first turn a child has all that its parent had
port.close()
try:
    port.open()
    say("opened again")
except OSError as error:
    say(error)
os.kill(os.getpid(), 9)
"""


def test_port_whose_last_owner_is_just_letting_go_of_it_is_waited_for(tty: Path, open_port: OpenPort) -> None:
    """As a program that is being started has copies of what is open, for a moment, and is not to be seen with them."""
    held = os.open(tty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.flock(held, fcntl.LOCK_EX)
    refusals: list[OSError] = []
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        try:
            real(descriptor, operation)
        except OSError as error:
            refusals.append(error)
            os.close(held)
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        assert open_port().health() is None
    assert len(refusals) == 1


def test_port_that_nobody_lets_go_of_is_busy(tty: Path, open_port: OpenPort) -> None:
    held = os.open(tty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(DeviceOfflineError, match="is busy: somebody"):
        open_port()
    os.close(held)


def test_forked_child_keeps_no_port_whether_its_parent_opens_it_anew_or_dies(
    board: BoardProcess, open_port: OpenPort, link: RecordingLink
) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(board.path), str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = sorted(parent.stdout.readline() for _ in range(3))
        assert parent.wait(30) == -signal.SIGKILL
        assert said == ["child has it open: False\n", "opened again\n", "written\n"]
        open_port()  # its child lives still
        assert parent.stdin is not None
        parent.stdin.close()


def test_restart_after_kill_9_of_an_ordinary_holder(
    tty: Path, board: BoardProcess, ordinary_user: OrdinaryUser
) -> None:
    """TIOCEXCL outlives the killed holder on its pty; the board's new pty behind the same path does not have it."""
    with ordinary_user.popen(DRIVER, tty, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "opened\n"
        first.kill()
    board.control("ready")
    fresh = board.path.resolve()
    fresh.chmod(0o666)
    with ordinary_user.popen(DRIVER, fresh, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "opened\n"
        second.kill()


def test_no_permission_names_the_command_that_grants_it(tmp_path: Path) -> None:
    tty = tmp_path / "ttyUSB0"
    tty.touch()
    os.chmod(tty, 0o660)
    if os.getuid() == 0:
        os.chown(tty, 0, 20)
        assert "Run: sudo usermod -aG dialout root, and log in again." in str(forbidden(str(tty), "bench-1/console"))
    os.chmod(tty, 0o600)
    rule = 'SUBSYSTEM=="tty", KERNEL=="ttyUSB*", GROUP="dialout", MODE="0660"'
    said = f"mode 0600). Give it a group by a udev rule, {rule}, and be in that group."
    assert said in str(forbidden(str(tty), "bench-1/console"))


def test_ordinary_user_without_rights_is_told_so(board: BoardProcess, ordinary_user: OrdinaryUser) -> None:
    if os.getuid() == 0:
        board.path.resolve().chmod(0o600)
        answer = ordinary_user.run(DRIVER, board.path.resolve())
        assert answer.startswith("DeviceOfflineError User nobody may not open /dev/pts/")


def test_absent_port_is_named(link: RecordingLink) -> None:
    port = SerialPort(SerialOptions.model_validate({"port": "/dev/serial/by-id/none"}), link)
    with pytest.raises(DeviceOfflineError, match="Port /dev/serial/by-id/none of 'bench-1/console' is not there"):
        port.open()
