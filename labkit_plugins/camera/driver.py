"""Camera: pictures of a bench. On V4L2, on any address that FFmpeg opens, or a test pattern.

The driver says what a camera can do; how it is done is in its neighbours: `capture.py` (the thread that has pictures
while somebody looks), `source.py` and `grabber.py` (a program that reads one source), `plans.py` (what it is told),
`presence.py` and `cameras.py` (is it plugged in, and which one is meant), `jpeg.py` (is it a picture).
"""

from __future__ import annotations

import errno
import importlib.util
import os
import threading
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from labkit.plugin import DeviceLink, DeviceOfflineError, Driver, Feed, Found, Frame, SafeStateError, command
from labkit_plugins.camera.address import Address
from labkit_plugins.camera.cameras import find_camera, preferred_format
from labkit_plugins.camera.capture import START_SECONDS, Capture, NoSignalError, Signal
from labkit_plugins.camera.options import CameraOptions
from labkit_plugins.camera.plans import address_of, plan_for_address, plan_for_node, plan_for_pattern
from labkit_plugins.camera.presence import NodePresence, Presence
from labkit_plugins.camera.scan import scan_cameras
from labkit_plugins.camera.source import ProgramSource, Source
from labkit_plugins.holders import holders

__all__ = ["Camera", "NoSignalError", "Signal"]

_BUSY = os.strerror(errno.EBUSY).lower()

SnapshotSeconds = Annotated[float, Field(gt=0, le=60)]


class Camera(Driver[CameraOptions]):
    """A camera: a USB or built-in one, a network camera, a recording, a test pattern."""

    kind = "camera"
    frames = Feed(Frame, help="Pictures, as JPEG; the newest only, and only while somebody looks.")
    signal = Feed(Signal, help="Whether pictures come, and why not.")

    def __init__(self, options: CameraOptions, link: DeviceLink):
        super().__init__(options, link)
        self._capture: Capture | None = None
        self._presence: Presence | None = None
        self._address: Address | None = None
        self._looking = threading.Lock()  # what is told to the capture is what was asked last

    def open(self) -> None:
        """Find the camera; nothing is captured before somebody looks."""
        if self._capture is not None and self._capture.alive:
            return
        self.close()
        self._require_library()
        self._address = address_of(self.options)
        self._presence = self._find()
        self._capture = Capture(
            self.link.name,
            begin=self._begin,
            presence=self._presence,
            timeout=self.options.patience,
            explain=self._explain,
            give=self.frames.emit,
            tell=self.signal.emit,
            lost=self.link.lost,
        )
        self._capture.look(self.link.watched("frames"), unless_said=True)

    def close(self) -> None:
        """End the capture, and let the camera go."""
        capture, self._capture = self._capture, None
        presence, self._presence = self._presence, None
        if capture is not None:
            capture.interrupt()
            capture.close()
        if presence is not None:
            presence.close()

    def make_safe(self) -> None:
        """End the capture of who has looked until now, and look whether the camera is there. A camera moves nothing.

        Who looks on (the same session, at a camera that was reopened) gets new pictures by itself.
        """
        capture = self._opened("make-safe")
        with self._looking:
            capture.look(self.link.watched("frames"))
        try:
            capture.forget()
        except RuntimeError as error:
            raise SafeStateError(str(error), device=self.link.name) from error
        if self._presence is not None:
            self._presence.read_back()

    def interrupt(self) -> None:
        """End a snapshot that waits for its picture."""
        if self._capture is not None:
            self._capture.interrupt()

    def health(self) -> None:
        """Take one picture. Errors: `NoSignalError` with the reason where none comes in time."""
        self._opened("health check").take(self.options.patience + START_SECONDS, "health check")

    def watched(self, feed: str, anybody: bool) -> None:
        with self._looking:
            capture = self._capture
            if capture is not None and feed == "frames":
                capture.look(anybody)

    @classmethod
    def scan(cls) -> Sequence[Found]:
        return scan_cameras()

    @command(panel=True, timeout=65.0)
    def snapshot(self, timeout: SnapshotSeconds = 10.0) -> bytes:
        """Take a picture now, within `timeout` seconds; returns it as JPEG.

        It is a picture that was captured after the call had begun; the camera is started for it where nobody looks.
        Errors: `NoSignalError` with the reason.
        """
        return self._opened("snapshot").take(timeout, "snapshot").data

    @command(panel=True)
    def view(self) -> dict[str, Any]:
        """Tell how the page shows the pictures: title, rotation (degrees clockwise), flip, timeout, size, rate."""
        self._opened("view")
        options = self.options
        return {
            "title": options.title or self.link.name,
            "rotation": options.rotation,
            "flip": options.flip,
            "timeout": options.patience,
            "size": options.size or "",
            "rate": options.rate or 0.0,
        }

    def _opened(self, what: str) -> Capture:
        if self._capture is None:
            raise DeviceOfflineError(
                f"'{self.link.name}' is not open, so no {what} can be done.", device=self.link.name
            )
        return self._capture

    # -- what the twin has otherwise

    def _require_library(self) -> None:
        if importlib.util.find_spec("av") is None:
            raise ModuleNotFoundError(
                f"'{self.link.name}' needs PyAV, which is not installed. Run: pip install 'labkit[camera]'", name="av"
            )

    def _find(self) -> Presence | None:
        """The camera, where it is one that can be plugged in. Errors: `DeviceOfflineError`."""
        if self.options.device is None and self.options.match is None:
            return None
        return NodePresence(find_camera(self.options, self.link.name), self.link.name)

    def _begin(self) -> Source:
        """Start what gives pictures. Errors: OSError."""
        if isinstance(self._presence, NodePresence):
            wanted = preferred_format(self.options, self._presence.formats())
            return ProgramSource(plan_for_node(self.options, self._presence.path, wanted))
        if self._address is not None:
            return ProgramSource(plan_for_address(self.options, self._address))
        return ProgramSource(plan_for_pattern(self.options))

    def _explain(self, reason: str) -> str:
        """A reason as it may be shown: without a password, and with who has the camera."""
        if isinstance(self._presence, NodePresence) and _BUSY in reason:
            others = ", ".join(map(str, holders(self._presence.path)))
            return f"{reason}: {others or 'a program that this user may not see'} has it open"
        return reason if self._address is None else self._address.hide(reason)
