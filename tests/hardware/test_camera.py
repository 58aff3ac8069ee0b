"""The camera driver on a real V4L2 device (vivid)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from labkit.errors import DeviceOfflineError
from labkit_plugins.camera import Camera, CameraOptions
from tests.hardware.hands import RecordingLink, cameras, plug_camera, unplug_camera, wait_for

OpenCamera = Callable[..., Camera]

SIZE = (320, 180)


@pytest.fixture
def open_camera(link: RecordingLink) -> Iterator[OpenCamera]:
    """Open the driver at the camera, by its by-path name; options by keyword."""
    opened: list[Camera] = []

    def open_it(**options: Any) -> Camera:
        place = {"device": str(cameras()[0]), "size": "320x180", "rate": 5, "timeout": 60}
        camera = Camera(CameraOptions.model_validate({**place, **options}), link)
        opened.append(camera)
        camera.open()
        return camera

    yield open_it
    for camera in opened:
        camera.close()


def look(camera: Camera, link: RecordingLink, anybody: bool = True) -> None:
    """Somebody looks at the frames, or nobody any more."""
    link.looked_at = anybody
    camera.watched("frames", anybody)


def size_of(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as picture:
        picture.load()
        assert picture.format == "JPEG"
        return picture.size


def test_raw_frames_come_as_jpeg_while_somebody_looks(open_camera: OpenCamera, link: RecordingLink) -> None:
    camera = open_camera()
    look(camera, link)
    wait_for(lambda: len(link.of("frames")) >= 3, "frames")
    frames = link.of("frames")[:3]
    assert [size_of(frame.data) for frame in frames] == [SIZE] * 3
    assert [(frame.width, frame.height) for frame in frames] == [SIZE] * 3
    assert frames[0].captured < frames[1].captured < frames[2].captured
    assert len({frame.data for frame in frames}) == 3


def test_snapshot_is_a_picture_though_nobody_looks(open_camera: OpenCamera, link: RecordingLink) -> None:
    camera = open_camera()
    assert size_of(camera.snapshot(timeout=60)) == SIZE


def test_health_and_make_safe_find_nothing_wrong(open_camera: OpenCamera) -> None:
    camera = open_camera()
    camera.make_safe()
    camera.health()


def test_unplugged_camera_is_reported_and_opens_again_under_its_name(
    open_camera: OpenCamera, link: RecordingLink
) -> None:
    name = cameras()[0]
    camera = open_camera(device=str(name))
    look(camera, link)
    wait_for(lambda: link.of("frames"), "a frame")
    unplug_camera()
    assert "unplugged" in link.wait_lost()
    with pytest.raises(DeviceOfflineError):
        camera.open()
    plug_camera()
    assert cameras() == [name]
    seen = len(link.of("frames"))
    camera.open()
    camera.make_safe()
    wait_for(lambda: len(link.of("frames")) > seen, "frames again")


def test_unplug_is_felt_though_nobody_looks(open_camera: OpenCamera, link: RecordingLink) -> None:
    open_camera()
    unplug_camera()
    assert "unplugged" in link.wait_lost()
