"""labkit's device calls: the process that calls, in a live session. The devices are in a `labkit loop` of its own.

    python labkit_calls.py

Run by labkit's interpreter. The environment says which store (STORE_URL) and which instance folder (LAB_INSTANCE).
Driven by `benchmarks.programs`: prints {"ready": true}, then answers each line with {"seconds": [...]}:

    {"count": 200}                                   so many calls of the first device, one after another
    {"count": 200, "devices": [1, 2]}                these devices in turn
    {"count": 10, "devices": [1, 2], "nap": 0.05}    each device has a thread of its own that calls it, all at once;
                                                     each call takes that long in the driver
    {"count": 200, "task": true}                     from a task in the loop; only what is beyond the driver's own time
    {"asleep": 8, "nap": 5}                          have a device take so long, and don't wait for it
    {"awake": 8}                                     wait for that one
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from labkit.context import BoundSession, Purpose
from labkit.devices.proxy import DeviceProxy
from labkit.errors import BenchUnavailableError
from labkit.sessions import StartRequest, start_session

sys.path.insert(0, str(Path(__file__).parent / "labkit_calls_lab"))
USER = {"username": "student", "username_unique": "student", "client_data": {}, "server_data": {}}
START_SECONDS = 30.0


class Caller:
    """Who calls the devices of one session."""

    def __init__(self, weblab: Any, bound: BoundSession):
        self._weblab = weblab
        self._bound = bound
        self._asleep: dict[int, threading.Thread] = {}

    def device(self, number: int) -> DeviceProxy:
        found: DeviceProxy = self._weblab.devices.proxy(self._bound, f"echo-{number}")
        return found

    def answer(self, asked: dict[str, Any]) -> list[float]:
        """Do what one line asks for."""
        if "asleep" in asked:
            device = self.device(asked["asleep"]).within(asked["nap"] + 5)
            thread = self._asleep[asked["asleep"]] = threading.Thread(target=device.nap, args=(asked["nap"],))
            thread.start()
            return []
        if "awake" in asked:
            self._asleep.pop(asked["awake"]).join()
            return []
        if "task" in asked:
            return self.from_task(asked["count"])
        devices = [self.device(number) for number in asked.get("devices", [1])]
        if "nap" in asked:
            return at_once(devices, asked["count"], asked["nap"])
        return [once(devices[number % len(devices)]) for number in range(asked["count"])]

    def from_task(self, count: int) -> list[float]:
        from lab import call  # type: ignore[import-not-found]

        with self._weblab.lab.entered(self._bound):
            found: list[float] = call.run_sync(count).result
        return found


def once(device: DeviceProxy) -> float:
    """One call. Returns the seconds that it took."""
    began = time.perf_counter()
    device.echo("word")
    return time.perf_counter() - began


def at_once(devices: list[DeviceProxy], count: int, nap: float) -> list[float]:
    """Call all devices at the same time, each again and again."""
    took: list[float] = []

    def work(device: DeviceProxy) -> None:
        for _ in range(count):
            began = time.perf_counter()
            device.nap(nap)
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def started(lab: Any) -> str:
    """Start a session as soon as the loop has opened the devices."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return start_session(lab, StartRequest(slot_start=None, slot_length=3600.0, user=USER))
        except BenchUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    from lab import weblab

    lab = weblab.lab
    session = started(lab)
    record = lab.sessions.touch(session, poll=True)
    caller = Caller(weblab, BoundSession(session_id=session, purpose=Purpose.REQUEST, fences=record.fences))
    caller.answer({"count": 1})
    say({"ready": True})
    for line in sys.stdin:
        say({"seconds": caller.answer(json.loads(line))})
    weblab.close()


if __name__ == "__main__":
    main()
