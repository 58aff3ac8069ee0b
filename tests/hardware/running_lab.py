"""A whole lab on the real devices: web and loop as processes, the embedded store; RLMS and student from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.flows.people import Http, Page, Rlms, Student
from tests.hardware.hands import CHIP, LONG, USB_SERIAL, cameras, wait_for

RED, BUTTON = 3, 5

BENCH = """\
[console]
driver = "serial"
match = {{ usb_serial = "{usb_serial}" }}
safe = {{ send = "\\u0015halt\\r", expect = "off", timeout = 30 }}

[leds]
driver = "gpio"
chip = "{chip}"
lines = {{ red = {red}, button = {{ line = {button}, direction = "in" }} }}
safe = {{ red = 0 }}

[camera]
driver = "camera"
device = "{camera}"
size = "320x180"
rate = 5
timeout = 60
"""

# Generous, as everything is slow here; nothing may end by itself while a test looks at something else.
SETTINGS = {
    "WEBLAB_TIMEOUT": 0,
    "LABKIT_CALL_TIMEOUT": 90,
    "LABKIT_START_TIMEOUT": 300,
    "LABKIT_RELEASE_TIMEOUT": 90,
    "LABKIT_HEALTH_INTERVAL": 0,
}


class RunningLab:
    """The lab in a folder, its processes, and what can be seen of it."""

    def __init__(self, folder: Path, port: int):
        self.folder = folder
        self.port = port
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "devices").mkdir()
        (folder / "devices" / "bench-1.toml").write_text(
            BENCH.format(usb_serial=USB_SERIAL, chip=CHIP, red=RED, button=BUTTON, camera=cameras()[0])
        )
        self.loop = self.start_loop()
        self.web = self._start("web", "--port", str(port))

    def start_loop(self) -> subprocess.Popen[bytes]:
        self.loop = self._start("loop")
        return self.loop

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{len(self.processes)}-{arguments[0]}.log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "labkit.cli", "--app", "tests.hardware.lab_app:app", *arguments],
                env={**os.environ, "HARDWARE_LAB": str(self.folder), "HARDWARE_SETTINGS": json.dumps(SETTINGS)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def labkit(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "labkit.cli", "--app", "tests.hardware.lab_app:app", *arguments],
            env={**os.environ, "HARDWARE_LAB": str(self.folder), "HARDWARE_SETTINGS": json.dumps(SETTINGS)},
            capture_output=True, text=True, timeout=LONG, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def devices(self) -> dict[str, dict[str, Any]]:
        """What everybody may know of every device, by its name; {} while nobody answers."""
        with contextlib.suppress(OSError):
            status, answer, _ = Http(self.port).ask("GET", "/devices", timeout=LONG)
            if status == 200:
                return dict(answer)
        assert self.web.poll() is None, self.logs()
        return {}

    def device(self, name: str) -> dict[str, Any]:
        return self.devices().get(f"bench-1/{name}", {})

    def wait_condition(self, name: str, condition: str) -> dict[str, Any]:
        wait_for(lambda: self.device(name).get("condition") == condition, f"{name} {condition}: {self.device(name)}")
        return self.device(name)

    def wait_free(self) -> None:
        def is_free(known: dict[str, Any]) -> bool:
            return bool(known["host"]) and (known["condition"], known["hold"]) == ("ok", "none")

        def all_free() -> bool:
            found = self.devices()
            return len(found) == 3 and all(map(is_free, found.values()))

        try:
            wait_for(all_free, "a free bench", 2 * LONG)
        except AssertionError:
            raise AssertionError(f"{self.devices()}\n{self.logs()}") from None

    @contextlib.contextmanager
    def session(self) -> Iterator[LabStudent]:
        """A session as the RLMS makes it, and its student, who has entered; it is disposed of at the end."""
        self.wait_free()
        rlms = Rlms(self.port)
        student = rlms.must_start(length=3600.0)
        try:
            yield LabStudent(student.enter())
        finally:
            rlms.dispose(student.session_id)
        self.wait_free()

    def logs(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-6000:]}" for path in logs)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(LONG)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LONG)


class PatientPage(Page):
    """The student's page, as its socket sees it, where everything takes its time."""

    def __init__(self, student: Student):
        super().__init__(student)
        self.frames: list[dict[str, Any]] = []
        self.client.on("frame", self._show)

    def __enter__(self) -> PatientPage:
        url, headers = self._where
        self.client.connect(
            url, headers=headers, transports=["websocket"], socketio_path="/labkit/socket.io", wait_timeout=LONG
        )
        return self

    def ask(self, event: str, data: Any = None) -> dict[str, Any]:
        return dict(self.client.call(event, data or {}, timeout=LONG))

    def subscribe_to(self, device: str, feed: str) -> None:
        answer = self.ask("subscribe", {"device": f"bench-1/{device}", "feed": feed, "cursor": None})
        assert answer["ok"], answer

    def call(self, device: str, command: str, *args: Any) -> dict[str, Any]:
        return self.ask("call", {"device": f"bench-1/{device}", "command": command, "args": [*args], "kwargs": {}})

    def of(self, device: str, feed: str) -> list[dict[str, Any]]:
        """What the page has got of a feed."""
        return [one for one in list(self.received) if (one["device"], one["feed"]) == (f"bench-1/{device}", feed)]

    def bytes(self) -> bytes:
        return b"".join(one["data"] for one in self.of("console", "received"))

    def wait_told(self, device: str, condition: str) -> dict[str, Any]:
        """Wait until the page is told that a device is in this condition, as the last word on it."""

        def last() -> dict[str, Any]:
            told = [one for one in list(self.devices) if one["device"] == f"bench-1/{device}"]
            return told[-1] if told else {}

        wait_for(lambda: last().get("condition") == condition, f"{device} {condition}, not {last()}")
        return last()

    def _show(self, frame: dict[str, Any]) -> None:
        """A page says of each frame that it has shown it; else it is sent no more."""
        self.frames.append(frame)
        self.client.emit("ack", {key: frame[key] for key in ("device", "feed", "id")})


class LabStudent:
    """Who has the session: what the lab's own code does for them, and their page."""

    def __init__(self, student: Student):
        self._student = student

    def page(self) -> PatientPage:
        return PatientPage(self._student)

    def call(self, device: str, command: str, *args: Any) -> dict[str, Any]:
        """A command used by the lab's code: {"value": ...}, or {"error": its class, "message": ...}."""
        given = [{"bytes": one.decode("latin-1")} if isinstance(one, bytes) else one for one in args]
        status, answer, _ = self._student.ask("POST", f"/call/{device}/{command}", given, timeout=LONG)
        assert status == 200, answer
        return dict(answer)
