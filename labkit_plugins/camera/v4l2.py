"""V4L2: asking a video node of Linux what it is, by its ioctls. Used for finding, opening and checking cameras.

Nothing is changed and nothing is started by any of this. The structures are those of linux/videodev2.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CAPTURE, META_CAPTURE, STREAMING, HAS_DEVICE_CAPS = 0x1, 0x00800000, 0x04000000, 0x80000000

QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
ENUM_FMT = 0xC0405602  # _IOWR('V', 2, struct v4l2_fmtdesc)
ENUM_FRAMESIZES = 0xC02C564A  # _IOWR('V', 74, struct v4l2_frmsizeenum)

_CAPABILITY = struct.Struct("=16s32s32s3I12x")
_FORMAT = struct.Struct("=3I32s2I12x")
_SIZE = struct.Struct("=9I8x")
_VIDEO_CAPTURE = 1  # enum v4l2_buf_type
_DISCRETE = 1  # enum v4l2_frmsizetypes
_MOST = 128  # entries that are asked for at most, of a driver that never says that it has told all

_NAMES = {"MJPG": "mjpeg", "JPEG": "mjpeg", "YUYV": "yuyv", "H264": "h264", "HEVC": "hevc", "NV12": "nv12"}

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a node says about itself."""

    driver: str
    card: str
    bus: str
    flags: int

    @property
    def captures(self) -> bool:
        """Whether pictures can be had here; a camera has other nodes besides, for metadata."""
        return bool(self.flags & CAPTURE and self.flags & STREAMING)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form in which a camera gives pictures, and the sizes that it has in it, largest first."""

    name: str
    """What `format` in a declaration calls it."""
    code: str
    """The four letters of V4L2, "MJPG"."""
    sizes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.name} {', '.join(self.sizes)}".strip()


def capabilities(fd: int, ioctl: Ioctl = fcntl.ioctl) -> Capabilities:
    """Errors: OSError: ENOTTY where it is no video node, ENODEV where it has gone."""
    buffer = bytearray(_CAPABILITY.size)
    ioctl(fd, QUERYCAP, buffer)
    driver, card, bus, _, everything, here = _CAPABILITY.unpack(buffer)
    flags = here if everything & HAS_DEVICE_CAPS else everything
    return Capabilities(driver=_text(driver), card=_text(card), bus=_text(bus), flags=flags)


def formats(fd: int, ioctl: Ioctl = fcntl.ioctl) -> list[Format]:
    """The formats of a camera, in its own order."""
    found = []
    for number in range(_MOST):
        buffer = bytearray(_FORMAT.pack(number, _VIDEO_CAPTURE, 0, b"", 0, 0))
        if not _ask(fd, ENUM_FMT, buffer, ioctl):
            break
        pixels = _FORMAT.unpack(buffer)[4]
        code = pixels.to_bytes(4, "little").decode("ascii", "replace").strip()
        found.append(Format(name=_NAMES.get(code, code.lower()), code=code, sizes=_largest_first(fd, pixels, ioctl)))
    return found


def _largest_first(fd: int, pixels: int, ioctl: Ioctl) -> tuple[str, ...]:
    sizes = sorted(set(_sizes(fd, pixels, ioctl)), key=lambda size: (-size[0] * size[1], size))
    return tuple(f"{width}x{height}" for width, height in sizes)


def _sizes(fd: int, pixels: int, ioctl: Ioctl) -> Iterator[tuple[int, int]]:
    """The sizes; of a camera that has all between two of them, the smallest and the largest."""
    for number in range(_MOST):
        buffer = bytearray(_SIZE.pack(number, pixels, 0, 0, 0, 0, 0, 0, 0))
        if not _ask(fd, ENUM_FRAMESIZES, buffer, ioctl):
            return
        _, _, sort, *numbers = _SIZE.unpack(buffer)
        if sort != _DISCRETE:
            least_width, most_width, _, least_height, most_height, _ = numbers
            yield least_width, least_height
            yield most_width, most_height
            return
        yield numbers[0], numbers[1]


def _ask(fd: int, request: int, buffer: bytearray, ioctl: Ioctl) -> bool:
    """False: there is no entry of this number (EINVAL), or the driver does not know the question (ENOTTY)."""
    try:
        ioctl(fd, request, buffer)
    except OSError:
        return False
    return True


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace").strip()


def open_node(path: str) -> int:
    """Open a node without starting anything; other programs may have it open as well. Errors: OSError."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
