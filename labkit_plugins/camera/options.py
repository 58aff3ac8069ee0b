"""What a declaration may say about a camera. Used by the driver, its twin and the declaration reader.

Nothing here touches hardware or imports PyAV: a declaration is checked on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from posixpath import normpath
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from labkit.plugin import Doubt, DriverOptions, OptionError, Secret, Takes, UsbMatch
from labkit_plugins.camera.address import Address, is_address

_PLACES = ("device", "match", "url", "test_pattern")
_LARGEST_SIDE = 16384
_NUMBERED = re.compile(r"/dev/video\d+")


class CameraOptions(DriverOptions):
    """A camera: where its pictures come from, what is asked of it, and how the page turns them."""

    device: str | None = Field(
        default=None, pattern="^/", description="Path of a V4L2 camera; /dev/v4l/by-id/... survives a replug."
    )
    match: UsbMatch | None = Field(
        default=None, description="The USB camera instead of a path: usb_serial, usb_id, usb_interface."
    )
    url: str | Secret | None = Field(
        default=None,
        repr=False,
        description="Anything that FFmpeg opens: rtsp://..., http://..., or the path of a file, which is played again "
        'and again; { env = "NAME" } or { file = "path" } where it holds a password.',
    )
    test_pattern: bool = Field(default=False, description="A moving test picture instead of a camera.")
    size: str | None = Field(
        default=None, description='Width and height that are asked of the camera, in pixels, "1280x720".'
    )
    rate: float | None = Field(
        default=None, gt=0, le=120, description="Pictures per second at most; what the source gives where not said."
    )
    format: str | None = Field(
        default=None,
        pattern="^[a-z0-9_,]+$",
        description='Format that is asked of a V4L2 camera ("mjpeg", "yuyv"); with url FFmpeg\'s name of its format.',
    )
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees clockwise by which the page turns the picture."
    )
    flip: Literal["none", "horizontal", "vertical"] = Field(
        default="none", description="How the page mirrors the picture, before it turns it."
    )
    quality: int = Field(
        default=80, ge=1, le=100, description="JPEG quality, 1 to 100, of pictures that have to be encoded."
    )
    timeout: float = Field(
        default=5.0, gt=0, le=120, description="Seconds without a picture after which there is no signal."
    )

    @field_validator("size")
    @classmethod
    def _width_and_height(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", value):
            raise ValueError('must be width x height in pixels, for example "1280x720"')
        if value is not None and max(map(int, value.split("x"))) > _LARGEST_SIDE:
            raise ValueError(f"must not be over {_LARGEST_SIDE} pixels wide or high")
        return value

    @field_validator("url")
    @classmethod
    def _openable(cls, value: str | Secret | None) -> str | Secret | None:
        if isinstance(value, str) and not is_address(value):
            raise ValueError("must be an address such as rtsp://host/path, or a whole path such as /srv/film.mp4")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        said = [name for name in _PLACES if getattr(self, name)]
        if len(said) > 1:
            raise ValueError(f"say only one of {' and '.join(said)}")
        if not said and not self.simulate:
            raise ValueError("say where it is: device, match, url or test_pattern = true (or simulate = true)")
        if self.match is not None and not self.match.said:
            raise OptionError("is empty: say usb_serial, usb_id or usb_interface", path=("match",))
        return self

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height, where they are said."""
        if self.size is None:
            return None
        width, _, height = self.size.partition("x")
        return int(width), int(height)

    @property
    def patience(self) -> float:
        """Seconds without a picture after which there is no signal: two pictures' time at least, whatever `timeout`."""
        return max(self.timeout, 2 / self.rate) if self.rate else self.timeout

    def takes(self) -> Sequence[Takes]:
        """The camera, by the name that the declaration has for it, or by what it says of it."""
        if self.device is not None:
            return [Takes(what=f"camera {normpath(self.device)}", path=("device",))]
        if self.match is None:
            return ()
        return [Takes(what="camera", match=self.match, path=("match", next(iter(self.match.said))))]

    def doubts(self) -> Sequence[Doubt]:
        """A path that means another camera after a replug; a password that everybody can read."""
        found = []
        if self.device is not None and _NUMBERED.fullmatch(self.device):
            message = (
                f"{self.device} may be another camera after a replug or restart. Use its path in /dev/v4l/by-id or "
                "/dev/v4l/by-path; `labkit devices scan` shows it."
            )
            found.append(Doubt(message=message, path=("device",)))
        if isinstance(self.url, str) and Address(self.url).secret:
            message = (
                "The address holds a password or a key that everybody can read who may read this file. Keep the "
                'address elsewhere: url = { env = "NAME" } or url = { file = "path" }.'
            )
            found.append(Doubt(message=message, path=("url",)))
        return found
