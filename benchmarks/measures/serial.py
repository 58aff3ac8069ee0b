"""Serial to browser: from the last byte at a pty to a page, and whether a flood arrives whole. Run by `benchmarks`."""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.programs import Program
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.watched import WatchedLab, seconds_of, watched_lab

NAME = "serial to browser"
BAUD = 115_200
LINE = 64
FIFO = 16
"""Bytes that a UART hands over at once."""
FLOOD = 300_000
"""Bytes a second of a fast board on USB."""
PACKET = 512
VIEWERS = 5


def measure(report: Report, scale: Scale) -> None:
    """Lines now and then, a stream as fast as the line, a flood; the stream over a Unix socket, too, unjudged."""
    with _watched(scale) as watched:
        took = _latency(report, "a line now and then", watched, scale.times(400, 20), pause=0.05)
        _judge(report, "a line now and then", took)
        took = _latency(report, f"all of {BAUD:,} baud", watched, scale.times(2000, 100), pause=0.0)
        _judge(report, f"all of {BAUD:,} baud", took)
        _flood(report, watched, scale.seconds(30, 2))
    with _watched(scale, unix=True) as watched:
        _latency(report, f"all of {BAUD:,} baud, store on a Unix socket", watched, scale.times(1000, 50), pause=0.0)


class FarEnd:
    """The board's end of a pty, which gives bytes at the pace of a line. path: of the tty."""

    def __init__(self) -> None:
        self._fd, tty_fd = os.openpty()
        tty.setraw(tty_fd)
        self.path = os.ttyname(tty_fd)
        os.close(tty_fd)  # a port that somebody else has open is refused

    def give(self, data: bytes, rate: float, chunk: int, *, line: int = 0, pause: float = 0.0) -> list[float]:
        """Write at a rate, in bytes a second. line, pause: its length, and seconds of silence after each. Returns when
        the last bytes of each line were written."""
        ends, due = [], time.monotonic()
        for start in range(0, len(data), chunk):
            time.sleep(max(0.0, due - time.monotonic()))
            end = min(start + chunk, len(data))
            if line and end % line == 0:
                ends.append(time.monotonic())
                due += pause
            os.write(self._fd, data[start:end])
            due += (end - start) / rate
        return ends

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def far_end() -> Iterator[FarEnd]:
    board = FarEnd()
    try:
        yield board
    finally:
        board.close()


def lines(count: int) -> bytes:
    """Numbered lines, each another one."""
    return b"".join(f"{number:010} ".ljust(LINE - 1, ".").encode() + b"\n" for number in range(count))


@dataclass(frozen=True)
class Watched:
    """What is measured. processes: their ids, by what they are. silence: seconds between two measurements."""

    lab: WatchedLab
    board: FarEnd
    processes: dict[str, int]
    cookie: str
    silence: float

    @contextmanager
    def viewers(self, count: int) -> Iterator[Program]:
        """Pages that look at the serial port, and have what was there before."""
        with Program(sys.executable, "pages.py") as pages:
            opened = pages.ask("open", ports=self.lab.ports, cookies=[self.cookie] * count, within=20)
            heard = pages.ask("hear_bytes", device="bench-1/console", feed="received", silence=self.silence)
            if opened["states"] != ["open"] * count or not heard["ok"]:
                raise RuntimeError(f"The pages were not let in: {opened}\n{self.lab.said()}")
            yield pages

    @contextmanager
    def counting(self) -> Iterator[dict[str, float]]:
        """The share of a core that each process takes meanwhile, and the `seconds`; known at the end of the block."""
        shares: dict[str, float] = {}
        used, began = {name: seconds_of(pid) for name, pid in self.processes.items()}, time.monotonic()
        yield shares
        shares["seconds"] = time.monotonic() - began
        for name, pid in self.processes.items():
            shares[name] = (seconds_of(pid) - used[name]) / shares["seconds"]


@contextmanager
def _watched(scale: Scale, *, unix: bool = False) -> Iterator[Watched]:
    with watched_lab(unix=unix) as lab, far_end() as board:
        lab.declare("bench-1", f'[console]\ndriver = "serial"\nport = "{board.path}"\nbaudrate = {BAUD}\n')
        yield Watched(lab, board, {"loop": lab.loop(), "web": lab.web()}, lab.enter(), scale.seconds(1, 0.3))


def _latency(report: Report, who: str, watched: Watched, count: int, *, pause: float) -> list[float]:
    data, written = lines(count), []
    within = count * (pause + LINE * 10 / BAUD) + 10
    with watched.viewers(1) as pages, watched.counting() as shares:
        giving = threading.Thread(
            target=lambda: written.extend(watched.board.give(data, BAUD / 10, FIFO, line=LINE, pause=pause))
        )
        giving.start()
        (page,) = pages.ask("bytes", until=len(data), within=within, line=LINE)["pages"]
        giving.join()
    took = [come - gone for come, gone in zip(page["ends"], written, strict=True)]
    note = f"{page['messages'] / shares['seconds']:.0f} messages a second; {_cores(shares)}"
    report.times(NAME, who, took, note=note)
    return took


def _judge(report: Report, who: str, took: list[float]) -> None:
    report.at_most(NAME, f"{who}: p50", statistics.median(took) * 1e3, 5, "ms")
    report.at_most(NAME, f"{who}: p99", quantile(took, 0.99) * 1e3, 20, "ms")


def _flood(report: Report, watched: Watched, seconds: float) -> None:
    data = lines(round(FLOOD * seconds / LINE))
    with watched.viewers(VIEWERS) as pages, watched.counting() as shares:
        giving = threading.Thread(target=lambda: watched.board.give(data, FLOOD, PACKET))
        giving.start()
        heard = pages.ask("bytes", until=len(data), within=seconds * 1.5 + 10, line=0)["pages"]
        giving.join()
    whole, took = hashlib.sha256(data).hexdigest(), shares["seconds"]
    missing = sum(max(0, len(data) - page["count"]) + abs(page["lost"]) for page in heard)
    wrong = sum(page["sha256"] != whole for page in heard)
    rate = len(data) / took / 1000
    messages = sum(page["messages"] for page in heard) / VIEWERS / took
    note = f"{messages:.0f} messages a second for each of {VIEWERS} pages; {_cores(shares)}"
    report.figure(NAME, f"a flood, {seconds:.0f} s", rate, "kB/s", note=note)
    report.at_most(NAME, f"bytes that are missing at {VIEWERS} pages", missing, 0, "bytes")
    report.at_most(NAME, "pages that have other bytes than were sent", wrong, 0, "pages")
    report.at_least(NAME, "rate of the flood", rate, 0.97 * FLOOD / 1000, "kB/s")


def _cores(shares: dict[str, float]) -> str:
    return f"loop {shares['loop']:.0%}, web {shares['web']:.0%} of a core"
