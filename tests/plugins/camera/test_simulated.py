"""The twin: the real driver on the pictures of a scene that it starts itself."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import DeviceOfflineError
from labkit.plugin import FAULTS, Frame
from labkit_plugins.camera import CameraOptions, NoSignalError, SimulatedCamera
from labkit_plugins.camera.painting import lamp_places
from labkit_plugins.camera.source import SocketSource
from labkit_plugins.gpio import GpioOptions, SimulatedGpio
from tests.frozen import freeze, thaw
from tests.left_behind import nothing_left_behind
from tests.plugins.camera.conftest import RecordingLink, closing_twin, opened
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD, wait_until

# A host of its own: opens the twin in the folder given, tells the scene's process, and stays.
HOST = """
import sys
from pathlib import Path
from types import SimpleNamespace
from labkit_plugins.camera import CameraOptions, SimulatedCamera
link = SimpleNamespace(
    name="bench-1/camera", folder=Path(sys.argv[1]), emit=lambda *_: None, lost=print, watched=lambda _: False
)
camera = SimulatedCamera(CameraOptions(simulate=True), link)
camera.open()
print(camera.ask("hello")["pid"], flush=True)
sys.stdin.read()
"""
pytestmark = pytest.mark.usefixtures("short_linger")
LINES = {"red": 17, "led1": {"line": 4, "direction": "in"}, "low": {"line": 5, "active_low": True}}


def pixels(frame: Frame, names: list[str]) -> dict[str, tuple[int, int, int]]:
    image = opened(frame.data)
    return {name: image.getpixel(place) for name, place in lamp_places(names, image.size).items()}


# -- pictures


def test_scene_is_seen_in_the_declared_size(link: RecordingLink) -> None:
    camera = SimulatedCamera(
        CameraOptions.model_validate({"simulate": True, "size": "320x240", "timeout": GUARD}), link
    )
    try:
        camera.open()
        camera.health()
        assert opened(camera.snapshot(30.0)).size == (320, 240)
    finally:
        camera.close()
        end_program(camera)


def test_changed_declaration_is_followed_by_the_same_scene(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    twin.close()
    other = SimulatedCamera(CameraOptions.model_validate({"simulate": True, "size": "320x180", "timeout": GUARD}), link)
    other.open()
    assert opened(other.snapshot(30.0)).size == (320, 180)
    assert other.ask("hello")["pid"] == twin.ask("hello")["pid"]
    other.close()


def test_scene_draws_only_while_somebody_asks(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    twin.make_safe()
    assert twin.ask("hello")["drawn"] == 0
    twin.watched("frames", True)
    link.wait_frames(3)
    twin.watched("frames", False)
    wait_until(lambda: twin.ask("hello")["viewers"] == 0)
    drawn = twin.ask("hello")["drawn"]
    assert not threading.Event().wait(0.2)  # five pictures' time
    assert twin.ask("hello")["drawn"] == drawn


def test_viewer_that_takes_nothing_stops_nobody(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    slow = twin._connect()
    slow.send(b"\n")
    twin.watched("frames", True)
    link.wait_frames(40)  # about a megabyte: more than the socket of the slow one holds
    slow.close()


def test_scene_stays_over_close_and_open(twin: SimulatedCamera) -> None:
    twin.open()
    pid = twin.ask("hello")["pid"]
    for _ in range(3):
        twin.close()
        twin.open()
    assert twin.ask("hello")["pid"] == pid


def test_fifty_times_open_and_closed_leave_nothing(twin: SimulatedCamera) -> None:
    twin.open()
    twin.close()
    with nothing_left_behind():
        for number in range(50):
            twin.open()
            twin.make_safe()
            if number % 10 == 0:
                twin.snapshot(30.0)
            twin.close()


# -- the lamps of its bench


@pytest.fixture
def chip(link: RecordingLink) -> Iterator[SimulatedGpio]:
    """A simulated chip of the same bench, not open yet."""
    folder = link.folder.parent / "leds"
    folder.mkdir()
    beside = replace(link, folder=folder, name="bench-1/leds")
    gpio = SimulatedGpio(GpioOptions.model_validate({"simulate": True, "lines": LINES}), beside)
    yield gpio
    gpio.close()
    end_program(gpio)


@pytest.mark.parametrize("first", ["camera", "chip"])
def test_lamp_follows_its_line(first: str, twin: SimulatedCamera, chip: SimulatedGpio, link: RecordingLink) -> None:
    for device in (twin, chip) if first == "camera" else (chip, twin):
        device.open()
    wait_until(lambda: set(twin.ask("hello")["lamps"]) == set(LINES))
    names = list(twin.ask("hello")["lamps"])
    for lit in (True, False):
        chip.write("red", int(lit))
        wait_until(lambda lit=lit: twin.ask("hello")["lamps"]["red"]["lit"] is lit)
        frame = Frame(data=twin.snapshot(30.0), captured=0, width=640, height=360)
        red = pixels(frame, names)["red"]
        assert (red[0] > 200) is lit
        assert max(red) < 110 or lit


def test_lamp_of_an_input_follows_the_far_end(twin: SimulatedCamera, chip: SimulatedGpio) -> None:
    twin.open()
    chip.open()
    chip.ask("drive led1 1")
    wait_until(lambda: twin.ask("hello")["lamps"].get("led1") == {"lit": True, "incoming": True})


def test_lamp_of_a_line_that_is_active_low_shows_what_people_mean(twin: SimulatedCamera, chip: SimulatedGpio) -> None:
    twin.open()
    chip.open()
    chip.write("low", 1)
    wait_until(lambda: twin.ask("hello")["lamps"].get("low") == {"lit": True, "incoming": False})


def test_lamps_go_with_their_chip(twin: SimulatedCamera, chip: SimulatedGpio) -> None:
    twin.open()
    chip.open()
    wait_until(lambda: twin.ask("hello")["lamps"])
    chip.close()
    chip.ask("end")
    wait_until(lambda: twin.ask("hello")["lamps"] == {})
    assert twin.snapshot(30.0)


# -- faults


def test_unplugged_camera_is_offline_until_it_is_plugged(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    twin.watched("frames", True)
    link.wait_frames(1)
    twin.inject("unplug")
    assert link.wait_lost() == "The simulated camera was unplugged."
    with pytest.raises(DeviceOfflineError):
        twin.snapshot()
    with pytest.raises(DeviceOfflineError):
        twin.make_safe()
    twin.close()
    with pytest.raises(DeviceOfflineError, match="The simulated camera of 'bench-1/camera' is unplugged"):
        twin.open()
    twin.inject("plug")
    twin.open()
    assert twin.snapshot(30.0)


def test_unplug_is_felt_while_nobody_looks(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    twin.inject("unplug")
    assert link.wait_lost()
    assert link.frames == []


def test_camera_that_hangs_is_no_signal_until_it_is_normal(link: RecordingLink) -> None:
    with closing_twin(link, rate=25, timeout=1.0) as twin:
        twin.open()
        twin.watched("frames", True)
        link.wait_signal(True)
        twin.inject("hang")
        assert link.wait_signal(False)["reason"] == "no picture came for 1 s"
        with pytest.raises(NoSignalError):
            twin.health()
        said = len(link.signals)
        twin.inject("normal")
        link.wait_signal(True, after=said)
        assert link.losses == []


def test_garbage_reaches_the_feed_only_where_it_is_a_picture(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    twin.inject("garbage")
    twin.watched("frames", True)
    frames = link.wait_frames(4)
    drawn = twin.ask("hello")["drawn"]
    assert drawn >= len(frames) * 2 - 1  # every other one was no picture
    assert all(opened(frame.data).size == (640, 360) for frame in frames)


def test_slow_camera_gives_a_picture_now_and_then(link: RecordingLink) -> None:
    with closing_twin(link, rate=50) as camera:
        camera.open()
        camera.inject("slow")
        began = time.time()
        camera.watched("frames", True)
        second = link.wait_frames(2)[1]
        assert second.captured - began > 1.5  # the first one may be late, and the second one in time all the same
        camera.inject("normal")
        seen = len(link.frames)
        link.wait_frames(5, after=seen)


def test_connection_to_a_camera_that_goes_at_that_moment_is_closed() -> None:
    near, far = socket.socketpair()
    far.close()
    with pytest.raises(BrokenPipeError):
        SocketSource(near)
    assert near.fileno() == -1


def test_every_fault_is_known(twin: SimulatedCamera) -> None:
    twin.open()
    for fault in FAULTS:
        twin.inject(fault)
    assert twin.ask("hello")["faults"] == []


def test_fault_for_nobody_says_so(twin: SimulatedCamera) -> None:
    with pytest.raises(ConnectionError, match="Nobody simulates 'bench-1/camera'"):
        twin.inject("hang")


# -- the scene's life


def test_killed_scene_is_an_unplug_and_a_new_one_is_started(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    first = twin.ask("hello")["pid"]
    os.kill(first, signal.SIGKILL)
    link.wait_lost()
    twin.close()
    twin.open()
    assert twin.ask("hello")["pid"] != first
    assert twin.snapshot(30.0)


def test_scene_that_stands_still_is_offline_and_keeps_nobody(twin: SimulatedCamera, link: RecordingLink) -> None:
    twin.open()
    pid = twin.ask("hello")["pid"]
    said: list[str] = []

    def connect_until_it_is_full() -> None:
        try:
            for _ in range(50):
                twin._connect().close()
        except DeviceOfflineError as error:
            said.append(str(error))

    connecting = threading.Thread(target=connect_until_it_is_full, daemon=True)
    freeze(pid)
    try:
        connecting.start()
        connecting.join(30)
    finally:
        thaw(pid)
    assert said == ["The simulated camera of 'bench-1/camera' does not answer."]
    twin.watched("frames", True)
    link.wait_frames(1)


def test_scene_ends_with_its_killed_host(twin: SimulatedCamera, link: RecordingLink) -> None:
    command = [sys.executable, "-c", HOST, str(link.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        ended = os.pidfd_open(int(host.stdout.readline()))
        host.kill()
        host.wait(GUARD)
    assert select.select([ended], [], [], GUARD)[0]
    os.close(ended)
    twin.open()
    assert twin.snapshot(30.0)


def test_folder_with_a_long_name_is_fine(link: RecordingLink, tmp_path: Path) -> None:
    folder = tmp_path / ("y" * 120) / "camera"
    folder.mkdir(parents=True)
    camera = SimulatedCamera(
        CameraOptions.model_validate({"simulate": True, "timeout": GUARD}), replace(link, folder=folder)
    )
    camera.open()
    assert camera.snapshot(30.0)
    camera.close()
    end_program(camera)
    assert os.listdir(folder) == []
