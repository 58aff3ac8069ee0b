"""What the grabber is told for each kind of source: FFmpeg's names of formats and options. Used by the driver."""

from __future__ import annotations

import os
import re

from labkit.plugin import Secret
from labkit_plugins.camera.address import Address, is_address, is_file
from labkit_plugins.camera.grabber import Plan
from labkit_plugins.camera.options import CameraOptions
from labkit_plugins.camera.source import RATE, SIZE

_V4L2_NAMES = {"yuyv": "yuyv422"}  # what V4L2 and FFmpeg don't call by the same name

_LIVE = {
    "fflags": "nobuffer",
    "analyzeduration": "1000000",  # microseconds: FFmpeg looks at so much of a stream before it begins
    "fpsprobesize": "0",
}


def address_of(options: CameraOptions) -> Address | None:
    """The address that `url` says or keeps elsewhere. Errors: `MissingSecretError`; ValueError, without the text."""
    url = options.url
    if url is None:
        return None
    text = url.reveal() if isinstance(url, Secret) else url
    if not is_address(text):
        raise ValueError(
            f"What {url!r} holds must be an address such as rtsp://host/path, or a whole path such as /srv/film.mp4."
        )
    return Address(text)


def plan_for_node(options: CameraOptions, path: str, wanted: str | None) -> Plan:
    """A V4L2 camera. wanted: the format that it is asked for, None for whichever it likes."""
    asked = {
        "input_format": _V4L2_NAMES.get(wanted, wanted) if wanted else None,
        "video_size": options.size,
        "framerate": _number(options.rate),
        "timestamps": "abs",
    }
    return _plan(options, path, "v4l2", asked, live=True, stamped=True)


def plan_for_address(options: CameraOptions, address: Address) -> Plan:
    """A network camera, or a file."""
    text = address.reveal()
    if is_file(text):
        return _plan(options, text, options.format, {}, live=False)
    asked: dict[str, str | None] = dict(_LIVE)
    if re.match(r"rtsps?://", text):
        asked["rtsp_transport"] = "tcp"  # lost packets make grey pictures
    return _plan(options, text, options.format, asked, live=True, timeout=options.patience)


def plan_for_pattern(options: CameraOptions) -> Plan:
    """FFmpeg's moving test picture, with a counter of seconds."""
    rate = _number(options.rate or RATE)
    return _plan(options, f"testsrc2=size={options.size or SIZE}:rate={rate}", "lavfi", {}, live=False)


def _plan(
    options: CameraOptions,
    url: str,
    container: str | None,
    asked: dict[str, str | None],
    *,
    live: bool,
    stamped: bool = False,
    timeout: float | None = None,
) -> Plan:
    return Plan(
        url=url,
        parent=os.getpid(),
        container=container,
        options={name: value for name, value in asked.items() if value is not None},
        timeout=timeout,
        live=live,
        stamped=stamped,
        rate=options.rate,
        size=options.pixels,
        quality=options.quality,
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
