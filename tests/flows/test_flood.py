"""One student floods a lab in every way that a browser has; for another student, and for the RLMS, nothing changes."""

from __future__ import annotations

import collections
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import websocket

from tests.flows.harness import FlowLab
from tests.flows.people import Page, Rlms, Student, eventually

ROUNDS = 25
MOST_TIMES, NOISE_SECONDS = 20.0, 0.5
"""How much longer an echo may take while somebody else floods the lab, the median of many: so much that no busy machine
makes it so, and less than a student would call slow."""
GUARD = 30.0


class Flood:
    """A student's browser gone wild, on several threads. Use it with `with`. counts: what came of it, by its kind."""

    def __init__(self, student: Student, bench: str):
        self._student = student
        self._device = f"{bench}/console"
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[BaseException] = []
        ways = (self._poll, self._poll, self._write, self._subscribe, self._come_and_go, self._come_and_go)
        self._threads = [threading.Thread(target=self._again, args=(way,)) for way in ways]

    def __enter__(self) -> Flood:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(GUARD)
        assert not any(thread.is_alive() for thread in self._threads), "the flood does not end"

    def count(self, what: str) -> int:
        with self._lock:
            return self.counts[what]

    def _note(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _again(self, way: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                way()
            except (OSError, websocket.WebSocketException) as error:  # it was cut off, as it should be
                self._note(f"{way.__name__.strip('_')} cut off: {type(error).__name__}")
            except BaseException as error:
                self.failures.append(error)
                raise

    def _poll(self) -> None:
        status, _, _ = self._student.ask("POST", f"/callback/{self._student.session_id}/poll")
        self._note(f"polls answered {status}")

    def _link(self) -> websocket.WebSocket:
        cookies = "; ".join(f"{name}={value}" for name, value in self._student.cookies.items())
        where = f"ws://127.0.0.1:{self._student.port}/labkit/socket.io/?EIO=4&transport=websocket"
        link = websocket.create_connection(where, cookie=cookies, timeout=GUARD)
        try:
            link.send("40")
        except BaseException:
            link.shutdown()
            raise
        return link

    def _write(self) -> None:
        call = {"device": self._device, "command": "write", "args": ["x"], "kwargs": {}}
        self._send_on("calls", ["call", call])

    def _subscribe(self) -> None:
        self._send_on("subscribes", ["subscribe", {"device": self._device, "feed": "received", "cursor": None}])

    def _send_on(self, what: str, event: list[Any]) -> None:
        """Send an event again and again, and read nothing of what comes."""
        link = self._link()
        with contextlib.closing(link.sock):
            while not self._stopping.is_set():
                link.send(f"42{json.dumps(event)}")
                self._note(what)

    def _come_and_go(self) -> None:
        try:
            link = self._link()
        except websocket.WebSocketBadStatusException as refusal:
            self._note(f"sockets answered {refusal.status_code}")
            return
        link.sock.close()
        self._note("sockets opened")


def echo(page: Page, console: str, number: int) -> float:
    """Write a line that the board says again, and wait for it. Returns the seconds that it took."""
    began = time.monotonic()
    word = f"round-{number}".encode()
    assert page.write(console, b"echo " + word + b"\r")["ok"]
    eventually(lambda: word + b"\r\n" in page.bytes(), GUARD, f"the echo of {number}")
    return time.monotonic() - began


def test_flood_of_one_student_changes_nothing_for_others(make_lab: Callable[..., FlowLab]) -> None:
    less = {"LABKIT_MOST_REQUESTS": 10}  # so that it is soon too much
    lab = make_lab(benches=2, settings=less).start("services")
    rlms = Rlms(lab.port)
    wild, quiet = rlms.must_start("wild", length=600).enter(), rlms.must_start("quiet", length=600).enter()
    bench_of = {one: next(iter(lab.sessions.touch(one.session_id, poll=False).fences)) for one in (wild, quiet)}
    console = f"{bench_of[quiet]}/console"
    with quiet.socket() as page:
        page.subscribe(console)
        alone = statistics.median(echo(page, console, number) for number in range(ROUNDS))
        with Flood(wild, bench_of[wild]) as flood:
            eventually(lambda: flood.count("polls answered 429") and flood.count("sockets answered 429"), 60, "a flood")
            polls = flood.count("polls answered 429")
            flooded = statistics.median(echo(page, console, ROUNDS + number) for number in range(ROUNDS))
            assert [rlms.status(quiet.session_id) for _ in range(ROUNDS)] == [5.0] * ROUNDS
            assert [quiet.ask("POST", f"/callback/{quiet.session_id}/poll")[0] for _ in range(ROUNDS)] == [200] * ROUNDS
            assert rlms.start("third")[0] == 503  # both benches are taken: that is what it is told, and no 429
            with quiet.socket() as second:
                assert second.ask("poll")["ok"]
            assert flood.count("polls answered 429") > polls  # it went on all the time
        assert page.client.connected
        assert flood.failures == []
        assert flooded < MOST_TIMES * alone + NOISE_SECONDS, (alone, flooded, flood.counts)
    # Who has flooded was never put out: it may have been a mistake of a page.
    eventually(lambda: wild.ask("POST", f"/callback/{wild.session_id}/poll")[0] == 200, 60, "an answer to the other")
    assert rlms.status(wild.session_id) == 5.0
    refused = {"200", "302", "429"}
    assert {what.rpartition(" ")[2] for what in flood.counts if what.startswith("polls")} <= refused, flood.counts
