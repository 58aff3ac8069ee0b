"""Frames from a driver in a loop to a student's page: only while somebody looks, and only for whom they are."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.harness import LAYOUTS, FlowLab
from tests.flows.people import Page, Student, eventually

CAMERA = "bench-1/camera"
DRIVER = """
import os, threading, time

from labkit.plugin import Driver, DriverOptions, Feed, Frame, command, hookimpl


class Camera(Driver[DriverOptions]):
    "A camera of a test: numbers for pictures, and a file that says when it was told of viewers."

    kind = "toycamera"
    frames = Feed(Frame)
    scene = b"empty"
    thread = None

    def open(self):
        self.looked_at, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.capture)
        self.thread.start()

    def close(self):
        if self.thread is not None:
            self.over.set()
            self.looked_at.set()
            self.thread.join()

    def make_safe(self): self.scene = b"empty"
    def interrupt(self): pass

    @command(panel=True)
    def place(self, scene: bytes) -> None:
        "Put something before the camera."
        self.scene = scene

    def watched(self, feed, anybody):
        with open(self.link.folder / "told", "a") as told:
            told.write(f"{os.getpid()} {feed} {anybody}\\n")
        (self.looked_at.set if anybody else self.looked_at.clear)()

    def capture(self):
        while not self.over.wait(0.02):
            self.looked_at.wait()
            self.frames.emit(Frame(data=b"\\xff\\xd8" + self.scene, captured=time.time(), width=640, height=480))


@hookimpl
def labkit_drivers(): return [Camera]
"""


class CameraLab:
    """A lab whose bench has a camera beside its console."""

    def __init__(self, lab: FlowLab):
        self.lab = lab
        (lab.folder / "drivers").mkdir()
        (lab.folder / "drivers" / "toycamera.py").write_text(DRIVER)
        with open(lab.folder / "devices" / "bench-1.toml", "a") as file:
            file.write('\n[camera]\ndriver = "toycamera"\n')

    @property
    def told(self) -> list[str]:
        """What the driver was told, without the process that has it."""
        path = self.lab.folder / "instance" / "devices" / "bench-1" / "camera" / "told"
        return [line.partition(" ")[2] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_told(self, *told: bool) -> None:
        lines = [f"frames {anybody}" for anybody in told]
        eventually(lambda: self.told == lines, what=f"{lines} at the driver")


@pytest.fixture
def camera(make_lab: Callable[..., FlowLab]) -> CameraLab:
    return CameraLab(make_lab())


class Picture:
    """A page that looks at the camera, and says of each frame that it has shown it."""

    def __init__(self, page: Page):
        self.page = page
        self.frames: list[dict[str, Any]] = []

    def receive(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        self.page.client.emit("ack", {key: frame[key] for key in ("device", "feed", "id")})

    def wait(self, scene: bytes = b"") -> dict[str, Any]:
        """Wait for a new frame ('': any) that shows something."""
        before = len(self.frames)
        new = eventually(
            lambda: [frame for frame in self.frames[before:] if scene in frame["data"]], what=f"a frame of {scene!r}"
        )
        return dict(new[-1])


@contextlib.contextmanager
def looking(student: Student) -> Iterator[Picture]:
    page = student.socket()
    picture = Picture(page)
    page.client.on("frame", picture.receive)
    with page:
        answer = page.ask("subscribe", {"device": CAMERA, "feed": "frames", "cursor": None})
        assert answer["ok"], answer
        yield picture


def place(picture: Picture, scene: bytes) -> None:
    answer = picture.page.ask("call", {"device": CAMERA, "command": "place", "args": [scene], "kwargs": {}})
    assert answer["ok"], answer


def kill_with_children(pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        os.kill(one, signal.SIGKILL)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_camera_captures_while_a_page_looks_and_only_then(camera: CameraLab, layout: str) -> None:
    lab = camera.lab.start(layout)
    student = lab.rlms.must_start().enter()
    with student.socket() as page:
        page.subscribe("bench-1/console")
        assert camera.told == []
    with looking(student) as first, looking(student) as second:
        frame = first.wait(b"empty")
        assert (frame["device"], frame["width"], frame["height"]) == (CAMERA, 640, 480)
        place(first, b"a lamp")
        second.wait(b"a lamp")
        camera.wait_told(True)
        times = [frame["captured"] for frame in first.frames]
        assert times == sorted(times)
    camera.wait_told(True, False)
    with looking(student) as again:
        again.wait(b"a lamp")
    camera.wait_told(True, False, True, False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_session_sees_no_picture_of_another_one(camera: CameraLab, layout: str) -> None:
    lab = camera.lab.start(layout)
    ada = lab.rlms.must_start("ada").enter()
    with looking(ada) as hers:
        place(hers, b"a secret of ada")
        hers.wait(b"a secret of ada")
        lab.rlms.dispose(ada.session_id)
        lab.wait_state(ada.session_id, "expired")
        camera.wait_told(True, False)
        lab.wait_free()
        ben = lab.rlms.must_start("ben").enter()
        with looking(ben) as his:
            place(his, b"a secret of ben")
            his.wait(b"a secret of ben")
            assert not any(b"ada" in frame["data"] for frame in his.frames)
        assert not any(b"ben" in frame["data"] for frame in hers.frames)  # her own last ones may have come late


def test_a_web_process_that_is_killed_stops_the_camera(camera: CameraLab, second_port: int) -> None:
    lab = camera.lab
    lab.loop()
    first = lab.web()
    lab.web(port=second_port)
    lab.wait_free()
    student = lab.rlms.must_start().enter()
    with looking(student) as picture:
        picture.wait()
        kill_with_children(first.pid)
        camera.wait_told(True, False)
    lab.kill(first)
    student.port = second_port
    with looking(student) as picture:
        picture.wait()
        camera.wait_told(True, False, True)


def test_a_page_goes_on_with_a_loop_that_took_over(camera: CameraLab) -> None:
    """Nobody subscribes anew: the new host counts who looks when it has opened the device."""
    lab = camera.lab
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    student = lab.rlms.must_start().enter()
    with looking(student) as picture:
        picture.wait()
        lab.kill(loop)
        lab.loop()
        camera.wait_told(True, True)
        picture.wait()
