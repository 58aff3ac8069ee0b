"""What a page sees of a real source: JPEG passes byte by byte, other films are encoded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from labkit_plugins.camera import Camera
from tests.plugins.camera.conftest import NetworkCamera, RecordingLink, jpeg, opened, write_film
from tests.plugins.camera.test_jpeg import without_tables

OpenCamera = Callable[..., Camera]
pytestmark = pytest.mark.usefixtures("short_linger")


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(packet) for packet in film.demux(video=0) if packet.size]


# -- JPEG that passes through


def test_pictures_of_a_network_camera_pass_byte_by_byte(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink, pictures: list[bytes]
) -> None:
    link.looked_at = True
    began = time.time()
    open_camera(url=network_camera.url)
    frames = link.wait_frames(10)
    assert {frame.data for frame in frames} <= set(pictures)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    assert all(began <= frame.captured <= time.time() for frame in frames)
    assert link.wait_signal(True)["reason"] == ""


def test_pictures_of_a_film_of_jpeg_pass_byte_by_byte(
    tmp_path: Path, open_camera: OpenCamera, link: RecordingLink
) -> None:
    write_film(tmp_path / "film.avi", "mjpeg")
    packets = packets_of(tmp_path / "film.avi")
    link.looked_at = True
    open_camera(url=str(tmp_path / "film.avi"))
    frames = link.wait_frames(len(packets) * 2)  # more than the film has: it is played again
    assert [frame.data for frame in frames][: len(packets) * 2] == packets * 2


def test_row_of_jpeg_in_a_file_passes_byte_by_byte(
    tmp_path: Path, open_camera: OpenCamera, link: RecordingLink, pictures: list[bytes]
) -> None:
    (tmp_path / "film.mjpeg").write_bytes(b"".join(pictures))
    link.looked_at = True
    open_camera(url=str(tmp_path / "film.mjpeg"))
    assert [frame.data for frame in link.wait_frames(5)][:5] == pictures


def test_huffman_tables_that_a_camera_leaves_out_are_put_in(open_camera: OpenCamera, link: RecordingLink) -> None:
    camera = NetworkCamera([without_tables(jpeg(2))])
    try:
        data = open_camera(url=camera.url).snapshot(30.0)
        assert opened(data).tobytes() == opened(jpeg(2)).tobytes()
    finally:
        camera.close()


def test_rate_leaves_pictures_out_and_changes_none(
    network_camera: NetworkCamera, open_camera: OpenCamera, link: RecordingLink, pictures: list[bytes]
) -> None:
    link.looked_at = True
    open_camera(url=network_camera.url, rate=5)
    frames = link.wait_frames(4)[:4]
    assert all(later.captured - earlier.captured >= 0.09 for earlier, later in itertools.pairwise(frames))
    assert {frame.data for frame in frames} <= set(pictures)


# -- what has to be encoded


@pytest.mark.parametrize("codec", ["mpeg4", "rawvideo"])
def test_other_films_are_encoded(codec: str, tmp_path: Path, open_camera: OpenCamera, link: RecordingLink) -> None:
    write_film(tmp_path / "film.avi", codec)
    link.looked_at = True
    open_camera(url=str(tmp_path / "film.avi"))
    frames = link.wait_frames(10)
    shown = [opened(frame.data) for frame in frames[:10]]
    assert {image.size for image in shown} == {(160, 120)}
    reds = [image.getpixel((80, 60))[0] for image in shown]
    assert reds == sorted(reds, reverse=True)
    assert reds[0] - reds[-1] > 150


def test_size_and_quality_are_those_of_encoded_pictures(open_camera: OpenCamera) -> None:
    good = open_camera(test_pattern=True, size="320x240", quality=95).snapshot(30.0)
    poor = open_camera(test_pattern=True, size="320x240", quality=5).snapshot(30.0)
    assert opened(good).size == opened(poor).size == (320, 240)
    assert len(good) > 2 * len(poor)


def test_pattern_moves(open_camera: OpenCamera, link: RecordingLink) -> None:
    link.looked_at = True
    open_camera(test_pattern=True, rate=20)
    assert len({frame.data for frame in link.wait_frames(4)}) >= 3
