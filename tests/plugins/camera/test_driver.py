"""The camera at real sources, with real FFmpeg: captures only for who looks, bears a lost signal, leaves nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.errors import DeviceOfflineError
from labkit.plugin import commands_of, feeds_of
from labkit_plugins.camera import Camera, CameraOptions, NoSignalError, SimulatedCamera, labkit_drivers, labkit_panels
from labkit_plugins.camera import capture as capture_module
from labkit_plugins.camera import driver as driver_module
from labkit_plugins.camera import source as source_module
from labkit_plugins.camera.grabber import Plan
from labkit_plugins.camera.source import ProgramSource
from tests.frozen import freeze
from tests.left_behind import nothing_left_behind
from tests.plugins.camera.conftest import NetworkCamera, RecordingLink, jpeg
from tests.toy import GUARD, wait_until

OpenCamera = Callable[..., Camera]
pytestmark = pytest.mark.usefixtures("short_linger")


def programs() -> list[str]:
    """The children of this process that read cameras."""
    own = Path(f"/proc/{os.getpid()}/task")
    children = [pid for task in own.iterdir() for pid in read_if_there(task / "children").split()]
    return [pid.decode() for pid in children if b"grabber" in read_if_there(Path(f"/proc/{pid.decode()}/cmdline"))]


def read_if_there(path: Path) -> bytes:
    """What a file of a thread or a process says; nothing where that has ended meanwhile."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def readers() -> list[str]:
    """The threads that have to do with a camera."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("camera")]


@pytest.fixture(autouse=True)
def alone() -> None:
    """What an earlier test has told to end may be late with it on a busy machine."""
    wait_until(lambda: programs() == readers() == [], "the end of earlier programs")


# -- the plugin


def test_plugin_brings_the_driver_with_its_twin_and_panel() -> None:
    assert labkit_drivers() == [Camera]
    assert Camera.simulated is SimulatedCamera
    (panel,) = labkit_panels()
    assert panel.kind == "camera"
    assert panel.module.is_file()


def test_twin_has_the_same_options_commands_and_feeds() -> None:
    assert SimulatedCamera.Options is CameraOptions
    assert commands_of(SimulatedCamera) == commands_of(Camera)
    assert feeds_of(SimulatedCamera) == feeds_of(Camera)


# -- only while somebody looks


def test_nothing_is_captured_while_nobody_looks(network_camera: NetworkCamera, open_camera: OpenCamera) -> None:
    camera = open_camera(url=network_camera.url)
    camera.make_safe()
    camera.view()
    assert network_camera.requests == []
    assert programs() == []


def test_capture_begins_with_the_first_look_and_ends_after_the_last(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink
) -> None:
    camera = open_camera(url=network_camera.url)
    for turn in range(1, 3):
        seen, said = len(link.frames), len(link.signals)
        camera.watched("frames", True)
        link.wait_frames(3, after=seen)
        link.wait_signal(True, after=said)  # also the second time: who looks now has not heard it
        assert len(network_camera.requests) == turn
        camera.watched("frames", False)
        network_camera.wait_viewers(0)
        wait_until(lambda: programs() == [])


def test_make_safe_ends_the_capture_of_who_looked(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "LINGER", 3600.0)
    camera = open_camera(url=network_camera.url)
    camera.watched("frames", True)
    link.wait_frames(3)
    camera.make_safe()
    given = len(link.frames)
    network_camera.wait_viewers(0)
    assert len(link.frames) == given


def test_who_looks_on_over_make_safe_gets_new_pictures(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink
) -> None:
    link.looked_at = True
    camera = open_camera(url=network_camera.url)
    link.wait_frames(1)
    camera.make_safe()
    link.wait_frames(3, after=len(link.frames))
    assert len(network_camera.requests) == 2


def test_who_looks_while_the_camera_is_made_safe_is_not_forgotten(
    open_camera: OpenCamera, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = open_camera(test_pattern=True, rate=20)
    teller = threading.Thread(target=camera.watched, args=("frames", True))

    def nobody_yet(feed: str) -> bool:
        """The answer is on its way when somebody begins to look."""
        teller.start()
        teller.join(0.2)
        return False

    monkeypatch.setattr(link, "watched", nobody_yet)
    camera.make_safe()
    teller.join(30)
    link.wait_frames(3)


# -- no signal


def test_slow_camera_has_a_signal_between_its_pictures(
    open_camera: OpenCamera, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.looked_at = True
    # Its patience lasts for 20 s here, and would be over in 1 s if it were no more than `timeout` says.
    clock = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() / 5)
    monkeypatch.setattr(capture_module, "time", clock)
    camera = open_camera(test_pattern=True, rate=0.5, timeout=0.2)
    assert camera.view()["timeout"] == 4.0
    link.wait_frames(2)
    assert [said["signal"] for said in link.signals] == [True]
    camera.health()


def test_dropped_stream_is_no_signal_and_comes_back_by_itself(
    pictures: list[bytes], open_camera: OpenCamera, link: RecordingLink, free_port: int
) -> None:
    first = NetworkCamera(pictures, port=free_port)  # nobody else is given it meanwhile
    try:
        link.looked_at = True
        open_camera(url=first.url)
        link.wait_frames(3)
    finally:
        first.close()
    assert link.wait_signal(False)["reason"]
    seen, said = len(link.frames), len(link.signals)
    second = NetworkCamera(pictures, port=free_port)
    try:
        link.wait_frames(3, after=seen)
        assert link.wait_signal(True, after=said - 1)["reason"] == ""
    finally:
        second.close()
    assert link.losses == []


def test_silent_camera_is_no_signal_until_it_speaks(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink
) -> None:
    link.looked_at = True
    open_camera(url=network_camera.url, timeout=2.0)
    link.wait_frames(1)
    link.wait_for(lambda: link.signals[-1]["signal"])
    network_camera.silent = True
    link.wait_for(lambda: not link.signals[-1]["signal"])
    assert link.signals[-1]["reason"]
    network_camera.silent = False
    link.wait_for(lambda: link.signals[-1]["signal"])


def test_stream_of_something_else_never_reaches_the_feed(open_camera: OpenCamera, link: RecordingLink) -> None:
    camera = NetworkCamera([jpeg()[:-40], b"\xff\xd8" + b"\0" * 500 + b"\xff\xd9", b"noise" * 100])
    try:
        link.looked_at = True
        open_camera(url=camera.url, timeout=0.5)
        assert link.wait_signal(False)["reason"]
        assert link.frames == []
    finally:
        camera.close()


# -- secrets


def test_password_stands_in_no_error_log_or_feed(
    free_port: int, open_camera: OpenCamera, link: RecordingLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.looked_at = True
    camera = open_camera(url=f"http://lab:hunter22@127.0.0.1:{free_port}/?key=hunter33")
    with pytest.raises(NoSignalError) as caught:
        camera.snapshot(30.0)
    said = f"{caught.value!r} {link.wait_signal(False)} {caplog.text} {camera!r} {camera.options!r}"
    assert "hunter" not in said


def test_password_stands_in_no_command_line(network_camera: NetworkCamera, open_camera: OpenCamera) -> None:
    camera = open_camera(url=network_camera.url.replace("//", "//lab:hunter22@"))
    camera.watched("frames", True)
    (pid,) = wait_until(programs)
    assert b"hunter22" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_address_comes_from_the_environment(
    network_camera: NetworkCamera, open_camera: OpenCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMERA_URL", network_camera.url)
    assert open_camera(url={"env": "CAMERA_URL"}).snapshot(30.0)


# -- opening and closing


def test_camera_that_is_not_there_is_offline_and_says_what_is(open_camera: OpenCamera) -> None:
    with pytest.raises(DeviceOfflineError, match="Camera /dev/v4l/by-id/none of 'bench-1/camera' is not there"):
        open_camera(device="/dev/v4l/by-id/none")
    with pytest.raises(DeviceOfflineError, match="A USB camera with usb_serial = 'none' of 'bench-1/camera' is not"):
        open_camera(match={"usb_serial": "none"})


def test_node_that_is_no_camera_is_offline(open_camera: OpenCamera) -> None:
    with pytest.raises(DeviceOfflineError, match="/dev/null of 'bench-1/camera' is no V4L2 camera"):
        open_camera(device="/dev/null")


def test_use_of_a_closed_camera_names_it(open_camera: OpenCamera) -> None:
    camera = open_camera(test_pattern=True)
    camera.close()
    camera.close()
    camera.interrupt()
    with pytest.raises(DeviceOfflineError, match="'bench-1/camera' is not open, so no snapshot can be done"):
        camera.snapshot()


def test_fifty_times_open_and_closed_leave_nothing(link: RecordingLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_GOODBYE", GUARD)  # a program may be late with its end
    camera = Camera(CameraOptions.model_validate({"test_pattern": True}), link)
    camera.open()
    camera.close()
    with nothing_left_behind():
        for number in range(50):
            camera.open()
            camera.open()
            camera.make_safe()
            if number % 25 == 0:
                camera.snapshot(30.0)
            camera.close()
    assert programs() == []


def test_opening_without_a_thread_to_be_had_leaves_no_descriptor(
    link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    camera = Camera(CameraOptions.model_validate({"test_pattern": True}), link)
    with nothing_left_behind():
        with pytest.raises(RuntimeError):
            camera.open()
        camera.close()


def test_no_program_is_begun_beside_one_that_cannot_be_ended(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unkillable(ProgramSource):
        """As one that hangs in the kernel: it is stopped, so it hears no SIGTERM, and nobody can kill it."""

        def __init__(self, plan: Plan):
            super().__init__(plan)
            monkeypatch.setattr(self._program, "kill", lambda: None)

    monkeypatch.setattr(driver_module, "ProgramSource", Unkillable)
    camera = open_camera(url=network_camera.url)
    camera.watched("frames", True)
    link.wait_frames(1)
    (pid,) = programs()
    freeze(int(pid))
    camera.close()
    for _ in range(3):  # the host makes a new driver for each attempt
        with pytest.raises(NoSignalError, match=rf"process {pid}, which read it, hangs in the kernel, where nothing"):
            open_camera(url=network_camera.url).health()
        camera.close()
    assert programs() == [pid]
    assert [thread.name for thread in threading.enumerate()].count("camera-abandoned") == 1
    os.kill(int(pid), signal.SIGKILL)  # the kernel lets go
    wait_until(lambda: programs() == [] and "camera-abandoned" not in readers())
    monkeypatch.setattr(driver_module, "ProgramSource", ProgramSource)
    assert open_camera(url=network_camera.url).snapshot(30.0)


def test_close_ends_a_program_that_hangs(network_camera: NetworkCamera, open_camera: OpenCamera) -> None:
    camera = open_camera(url=network_camera.url)
    camera.watched("frames", True)
    network_camera.wait_viewers(1)
    (pid,) = programs()
    freeze(int(pid))  # it hears nothing any more, as in a driver that hangs
    camera.close()
    wait_until(lambda: programs() == readers() == [], "the end of the program and of all that reads it")


def test_program_that_was_killed_is_begun_anew(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_GOODBYE", GUARD)  # between the end of its output and its own may lie a while
    link.looked_at = True
    open_camera(url=network_camera.url)
    link.wait_frames(1)
    (pid,) = programs()
    os.kill(int(pid), 9)
    assert link.wait_signal(False)["reason"] == "the program that reads it ended (by SIGKILL)"
    link.wait_frames(3, after=len(link.frames))


def test_view_tells_how_the_page_turns_the_picture(open_camera: OpenCamera) -> None:
    camera = open_camera(
        test_pattern=True, rotation=90, flip="horizontal", title="Robot", size="320x240", rate=5, timeout=5
    )
    assert camera.view() == {
        "title": "Robot",
        "rotation": 90,
        "flip": "horizontal",
        "timeout": 5.0,
        "size": "320x240",
        "rate": 5.0,
    }
