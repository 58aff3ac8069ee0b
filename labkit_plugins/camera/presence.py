"""Whether a camera is plugged in, seen without taking a picture. Used by the driver and `capture.py`."""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Protocol

from labkit.plugin import DeviceOfflineError, SafeStateError
from labkit_plugins.camera import v4l2
from labkit_plugins.camera.cameras import absent, nodes_here
from labkit_plugins.permission import forbidden


class Presence(Protocol):
    """A camera that is there. `fd` with `events` wakes a `poll` when something may have happened to it."""

    @property
    def fd(self) -> int: ...
    @property
    def events(self) -> int: ...
    def gone(self) -> str | None:
        """Why it is not there any more; None while it is."""

    def read_back(self) -> None:
        """Errors: `SafeStateError` where it is there and is no camera that could be used."""

    def close(self) -> None: ...


class NodePresence:
    """A V4L2 node, held open and not started: that turns on no lamp, hinders nobody, and feels an unplug at once."""

    events = select.POLLPRI  # for the rest the kernel would say "ready" all the time while nothing is captured

    def __init__(self, path: str, device: str):
        """Errors: `DeviceOfflineError`: not there, forbidden, no camera."""
        self.path = path
        self._device = device
        try:
            self.fd = v4l2.open_node(path)
        except OSError as error:
            raise _unusable(path, device, error) from error
        try:
            self._refuse_others(v4l2.capabilities(self.fd))
        except OSError as error:
            self.close()
            raise _unusable(path, device, error) from error
        except BaseException:
            self.close()
            raise

    def gone(self) -> str | None:
        try:
            v4l2.capabilities(self.fd)
        except OSError as error:
            return f"the camera was unplugged ({error.strerror})"
        return None

    def read_back(self) -> None:
        try:
            here = v4l2.capabilities(self.fd)
        except OSError as error:
            raise DeviceOfflineError(
                f"'{self._device}' was unplugged: {error.strerror}. It is opened again when it is back.",
                device=self._device,
            ) from error
        if not here.captures:
            raise SafeStateError(
                f"{self.path} of '{self._device}' reads back as a node without pictures ({here.card}). Is it the "
                "camera that was meant?",
                device=self._device,
            )

    def formats(self) -> list[v4l2.Format]:
        return v4l2.formats(self.fd)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _refuse_others(self, here: v4l2.Capabilities) -> None:
        if not here.captures:
            raise DeviceOfflineError(
                f"{self.path} of '{self._device}' belongs to {here.card or 'a device'} and gives no pictures: a camera "
                "has other nodes besides, for metadata. Run: labkit devices scan",
                device=self._device,
            )


class SocketPresence:
    """A twin's program, by a connection that ends when it is unplugged."""

    events = select.POLLIN

    def __init__(self, connected: socket.socket, device: str):
        self._socket = connected
        self._device = device
        self.fd = connected.fileno()
        connected.setblocking(False)

    def gone(self) -> str | None:
        try:
            there = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            there = b""
        return None if there else "the simulated camera was unplugged"

    def read_back(self) -> None:
        reason = self.gone()
        if reason is not None:
            raise DeviceOfflineError(f"'{self._device}': {reason}.", device=self._device)

    def close(self) -> None:
        self._socket.close()


def _unusable(path: str, device: str, error: OSError) -> DeviceOfflineError:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return absent(f"Camera {path}", device, nodes_here())
    if error.errno in (errno.EACCES, errno.EPERM):
        return forbidden(path, device)
    why = "is no V4L2 camera" if error.errno in (errno.ENOTTY, errno.EINVAL) else f"can't be used: {error.strerror}"
    return DeviceOfflineError(f"{path} of '{device}' {why}. Run: labkit devices scan", device=device)
