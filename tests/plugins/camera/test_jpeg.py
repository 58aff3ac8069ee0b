"""JPEG as bytes: what is let through as it is, what is completed, what is refused."""

from __future__ import annotations

import pytest

from labkit_plugins.camera.jpeg import HUFFMAN, NotAPictureError, picture
from tests.plugins.camera.conftest import jpeg, opened


def without_tables(data: bytes) -> bytes:
    """The same picture as cameras give it that leave the Huffman tables out."""
    kept, at = bytearray(data[:2]), 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            kept += data[at:end]
        at = end
    return bytes(kept + data[at:])


def test_whole_picture_is_left_as_it_is() -> None:
    data = jpeg(3, (64, 48))
    assert picture(data) == (data, 64, 48)


def test_missing_huffman_tables_are_put_in() -> None:
    whole = jpeg(3, (64, 48))
    data, width, height = picture(without_tables(whole))
    assert (width, height) == (64, 48)
    assert HUFFMAN in data
    assert opened(data).tobytes() == opened(whole).tobytes()


def test_zeros_behind_the_end_are_cut_off() -> None:
    data = jpeg()
    assert picture(data + bytes(100))[0] == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff\xd9",
        b"GIF89a",
        jpeg()[:-2],
        jpeg()[2:],
        jpeg() + b"more",
        b"\xff\xd8" + bytes(100) + b"\xff\xd9",
        b"\xff\xd8\xff\xe0\xff\xff\xff\xd9",
        jpeg()[:60] + b"\xff\xd9",
    ],
)
def test_what_is_no_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(NotAPictureError):
        picture(data)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\xd0", b"\xff\xfe\x00\x02"])
def test_picture_of_nothing_but_segments_is_refused_before_its_end(filler: bytes) -> None:
    """Else a camera that has gone mad would cost the host a second of its time for each picture."""
    data = b"\xff\xd8" + filler * (1024 * 1024 // len(filler)) + jpeg()[2:]
    with pytest.raises(NotAPictureError, match="its segments are broken"):
        picture(data)


def test_picture_without_width_is_refused() -> None:
    data = jpeg(0, (64, 48))
    with pytest.raises(NotAPictureError, match="its size is zero"):
        picture(data.replace(b"\x00\x30\x00\x40", b"\x00\x30\x00\x00", 1))
