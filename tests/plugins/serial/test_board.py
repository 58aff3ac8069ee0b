"""The board program: its tty, its record, its control channel, its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit.testing.board import BoardProcess
from labkit_plugins.serial.firmware import BANNER, PROMPT
from tests.toy import GUARD, wait_until


def open_tty(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def read_until(tty: int, expected: bytes) -> bytes:
    data = b""
    while expected not in data:
        assert select.select([tty], [], [], GUARD)[0], data
        data += os.read(tty, 4096)
    return data


def wait_until_closed(tty: int) -> None:
    poll = select.poll()
    poll.register(tty, 0)
    assert poll.poll(GUARD * 1000)


def events(board: BoardProcess) -> list[str]:
    return [record["event"] for record in board.records()]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_banner_and_prompt_wait_for_who_opens_first(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    assert read_until(tty, PROMPT) == BANNER + PROMPT
    os.close(tty)


def test_hang_up_gives_a_new_pty_with_the_old_state_and_no_banner(board: BoardProcess) -> None:
    first = open_tty(board.path)
    before = board.path.resolve()
    os.write(first, b"led 2 on\r")
    board.wait_received(b"led 2 on\r")
    os.close(first)
    board.control("ready")
    assert board.path.resolve() != before
    second = open_tty(board.path)
    os.write(second, b"led 2\r")
    assert read_until(second, b"is on").startswith(b"led 2\r\nled 2 is on")
    os.close(second)
    assert events(board).count("boot") == 1


def test_bytes_written_just_before_the_hang_up_are_received_first(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    os.write(tty, b"x" * 3000 + b"end")
    os.close(tty)
    board.control("ready")
    assert board.received() == b"x" * 3000 + b"end"
    assert events(board)[-1] == "hangup"


def test_board_survives_who_asks_and_hangs_up_before_the_answer(board: BoardProcess) -> None:
    for number in range(20):
        tty = open_tty(board.path)
        os.write(tty, b"led 1 %s\r" % (b"off" if number % 2 else b"on"))
        os.close(tty)
        assert board.control("ready")["leds"]["1"] is (number % 2 == 0)


def test_record_has_times_of_the_monotonic_clock(board: BoardProcess) -> None:
    times = [record["t"] for record in board.records()]
    assert times == sorted(times)
    assert time.monotonic() - 60 < times[0] <= time.monotonic()


def test_reset_boots_again(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    os.write(tty, b"led 1 on\r")
    read_until(tty, b"is on\r\n> ")
    assert board.control("reset")["leds"]["1"] is False
    assert read_until(tty, PROMPT) == BANNER + PROMPT
    os.close(tty)


def test_unplug_takes_the_path_away_and_plug_brings_it_back(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    assert board.control("unplug")["plugged"] is False
    wait_until_closed(tty)
    os.close(tty)
    assert not os.path.lexists(board.path)
    assert board.control("plug")["plugged"] is True
    os.close(open_tty(board.path))


def test_hung_board_takes_nothing_until_it_resumes(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    board.control("hang")
    os.write(tty, b"led 1 on\r")
    assert board.control("led?")["leds"]["1"] is False
    assert board.received() == b""
    board.control("normal")
    read_until(tty, b"led 1 is on")
    os.close(tty)


def test_slow_board_answers_byte_by_byte_until_it_is_normal(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    read_until(tty, PROMPT)
    board.control("slow")
    os.write(tty, b"flood 3000\r")  # five minutes of it
    came = read_until(tty, b"fl")
    assert len(came) < 3000
    board.control("normal")
    assert len(came + read_until(tty, PROMPT)) == len(b"flood 3000\r\n") + 3000 + len(b"\r\n> ")
    os.close(tty)


def test_garbage_is_noise_between_the_answers_and_in_them(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    read_until(tty, PROMPT)
    board.control("garbage")
    assert select.select([tty], [], [], GUARD)[0]  # nobody has asked anything
    board.control("normal")
    os.write(tty, b"led 1\r")
    read_until(tty, b"led 1 is off\r\n> ")
    board.control("garbage")
    os.write(tty, b"flood 1000\r")
    board.wait_received(b"flood 1000\r")
    board.control("ready")
    board.control("normal")
    os.write(tty, b"led 2\r")
    assert b"0123456789abcdef" * 4 not in read_until(tty, b"led 2 is off\r\n> ")
    os.close(tty)


def test_flood_gives_exactly_what_was_asked(board: BoardProcess) -> None:
    tty = open_tty(board.path)
    read_until(tty, PROMPT)
    os.write(tty, b"flood 100000\r")
    assert len(read_until(tty, PROMPT)) == len(b"flood 100000\r\n") + 100000 + len(b"\r\n> ")
    os.close(tty)


def test_unknown_request_is_refused_by_name(board: BoardProcess) -> None:
    with pytest.raises(ValueError, match="unknown request 'dance'; there are: hello"):
        board.control("dance")
    with pytest.raises(ValueError, match="'break'"):
        board.control("break")


def test_idle_board_uses_no_processor_time_open_closed_hung_or_unplugged(board: BoardProcess) -> None:
    def idles() -> bool:
        """Whether it has done nothing for a while: what it was told to do before may have come late."""
        before = cpu_seconds(board.process.pid)
        select.poll().poll(200)
        return cpu_seconds(board.process.pid) - before < 0.03

    for state in ("ready", "hang", "unplug"):
        tty = open_tty(board.path)
        os.close(tty)
        board.control(state)
        wait_until(idles, f"the idleness of a board after {state}")


def test_terminated_board_removes_path_and_socket(board: BoardProcess) -> None:
    board.process.send_signal(signal.SIGINT)
    assert board.process.wait(GUARD) == 0
    assert not os.path.lexists(board.path)
    assert not board.control_path.exists()


def test_board_replaces_what_a_killed_one_left(board: BoardProcess) -> None:
    board.process.kill()
    board.process.wait(GUARD)
    assert os.path.lexists(board.path)
    with BoardProcess.start(board.path) as second:
        second.control("led?")
        os.close(open_tty(second.path))


def test_board_does_not_overwrite_a_file(tmp_path: Path) -> None:
    (tmp_path / "board").write_text("precious")
    with pytest.raises(RuntimeError, match="did not start"):
        BoardProcess.start(tmp_path / "board")
    assert (tmp_path / "board").read_text() == "precious"
    assert not (tmp_path / "board.control").exists()


def test_folder_with_a_long_name_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with BoardProcess.start(folder / "board") as board:
        assert board.control("hello")["pid"] == board.process.pid


def test_board_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from labkit.testing.board import BoardProcess\n"
        "print(BoardProcess.start(Path(sys.argv[1])).process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "board")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        board = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    assert select.select([board], [], [], GUARD)[0]
    os.close(board)
    assert not os.path.lexists(tmp_path / "board")


def test_board_started_by_hand_needs_no_parent_and_no_control(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "labkit_plugins.serial.board", "--path", str(tmp_path / "board")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"board ready at {tmp_path / 'board'}\n".encode()
        process.terminate()
        assert process.wait(GUARD) == 0
    assert os.listdir(tmp_path) == []
