"""One picture when it is asked for, and whether the camera is well: opened for it, limited in time, interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import InterruptedCallError
from labkit_plugins.camera import Camera, NoSignalError
from labkit_plugins.camera import driver as driver_module
from labkit_plugins.camera.grabber import Plan
from labkit_plugins.camera.source import ProgramSource
from tests.plugins.camera.conftest import NetworkCamera, RecordingLink, jpeg

OpenCamera = Callable[..., Camera]
pytestmark = pytest.mark.usefixtures("short_linger")


def test_snapshot_opens_the_source_for_one_picture(
    network_camera: NetworkCamera, open_camera: OpenCamera, pictures: list[bytes]
) -> None:
    camera = open_camera(url=network_camera.url)
    assert camera.snapshot(30.0) in pictures
    network_camera.wait_viewers(0)


def test_snapshot_while_somebody_looks_is_a_later_picture_of_the_same_stream(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink
) -> None:
    link.looked_at = True
    camera = open_camera(url=network_camera.url)
    link.wait_frames(3)
    called = time.time()
    data = camera.snapshot(30.0)
    (frame,) = [frame for frame in link.frames if frame.data is data]
    assert frame.captured >= called
    assert len(network_camera.requests) == 1


def test_snapshot_of_an_address_where_nobody_is_fails_at_once(open_camera: OpenCamera, free_port: int) -> None:
    camera = open_camera(url=f"http://127.0.0.1:{free_port}/")
    with pytest.raises(NoSignalError, match="'bench-1/camera' gives no picture: connection refused"):
        camera.snapshot(60.0)


def test_snapshot_is_limited_in_time(network_camera: NetworkCamera, open_camera: OpenCamera) -> None:
    network_camera.silent = True
    camera = open_camera(url=network_camera.url, timeout=60)
    with pytest.raises(NoSignalError, match=r"gave no picture for the snapshot within 0\.2 s"):
        camera.snapshot(0.2)


def test_interrupt_ends_a_snapshot_and_marks_no_later_one(
    network_camera: NetworkCamera, open_camera: OpenCamera
) -> None:
    network_camera.silent = True
    camera = open_camera(url=network_camera.url, timeout=60)
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            camera.snapshot(60.0)
        except InterruptedCallError as error:
            failures.append(error)

    camera.interrupt()  # with nothing running
    waiting = threading.Thread(target=wait)
    waiting.start()
    network_camera.wait_viewers(1)
    camera.interrupt()
    waiting.join(30)
    assert "its session is over" in str(failures[0])
    network_camera.silent = False
    assert camera.snapshot(30.0)


def test_camera_that_gives_pictures_is_healthy(network_camera: NetworkCamera, open_camera: OpenCamera) -> None:
    open_camera(url=network_camera.url).health()


def test_camera_that_gives_none_is_not(network_camera: NetworkCamera, open_camera: OpenCamera, tmp_path: Path) -> None:
    network_camera.silent = True
    with pytest.raises(NoSignalError, match="gives no picture: "):
        open_camera(url=network_camera.url, timeout=0.3).health()
    with pytest.raises(NoSignalError, match="gives no picture: there is no such file"):
        open_camera(url=str(tmp_path / "missing.mp4")).health()


@pytest.mark.parametrize("content", [b"", b"no film at all", jpeg()[:100]])
def test_file_without_a_picture_is_no_signal(content: bytes, tmp_path: Path, open_camera: OpenCamera) -> None:
    (tmp_path / "film.avi").write_bytes(content)
    with pytest.raises(NoSignalError, match="gives no picture: "):
        open_camera(url=str(tmp_path / "film.avi"), timeout=2).health()


def test_unknown_format_is_named(tmp_path: Path, open_camera: OpenCamera) -> None:
    (tmp_path / "picture.jpg").write_bytes(jpeg())
    with pytest.raises(NoSignalError, match="gives no picture: FFmpeg has no format 'nonsens'"):
        open_camera(url=str(tmp_path / "picture.jpg"), format="nonsens").snapshot(30.0)


def test_snapshots_of_a_dead_camera_start_one_program_after_another_with_a_rest(
    tmp_path: Path, open_camera: OpenCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []

    class Counted(ProgramSource):
        def __init__(self, plan: Plan):
            begun.append(time.monotonic())
            super().__init__(plan)

    monkeypatch.setattr(driver_module, "ProgramSource", Counted)
    camera = open_camera(url=str(tmp_path / "missing.mp4"))
    called = time.monotonic()
    for _ in range(3):
        with pytest.raises(NoSignalError, match="there is no such file"):
            camera.snapshot(30.0)
    assert len(begun) == 3
    # Not from one to the next: where one is late on a busy machine, the next one needs not be.
    assert all(at - called >= 0.99 * number for number, at in enumerate(begun))
