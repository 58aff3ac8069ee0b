"""The twin of a camera: the real driver, on the pictures of a scene that a program draws (`scene.py`).

Like hardware the scene stays when the camera is closed; it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import shlex
import socket

from labkit.plugin import DeviceOfflineError
from labkit_plugins.camera.driver import Camera
from labkit_plugins.camera.presence import Presence, SocketPresence
from labkit_plugins.camera.source import FRAMES, RATE, SIZE, SocketSource, Source
from labkit_plugins.twins.control import short_address
from labkit_plugins.twins.programtwin import ProgramTwin

_ANSWER = 2.0  # seconds in which a scene that runs lets somebody in


class SimulatedCamera(ProgramTwin, Camera):
    """A camera that sees a simulated bench; nothing but where its pictures come from is different."""

    program = "labkit_plugins.camera.scene"

    def program_arguments(self) -> list[str]:
        return [word for pair in self._settings().items() for word in pair]

    def _settings(self) -> dict[str, str]:
        """How the scene is drawn, as the program takes it."""
        options = self.options
        return {
            "--title": self.link.name.partition("/")[0],
            "--size": options.size or SIZE,
            "--rate": f"{options.rate or RATE:g}",
            "--quality": str(options.quality),
        }

    def _require_library(self) -> None:
        """It needs no FFmpeg."""

    def _find(self) -> Presence:
        self.ensure_program()
        self.ask(shlex.join(["settings", *self._settings().values()]))
        return SocketPresence(self._connect(), self.link.name)

    def _begin(self) -> Source:
        return SocketSource(self._connect())

    def _connect(self) -> socket.socket:
        """A connection to the scene. Errors: `DeviceOfflineError` where the camera is unplugged, or its scene hangs."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(_ANSWER)
        try:
            with short_address(self.link.folder / FRAMES) as address:
                connected.connect(address)
        except OSError as error:
            connected.close()
            still = isinstance(error, (BlockingIOError, TimeoutError))
            why = "does not answer" if still else "is unplugged"
            raise DeviceOfflineError(
                f"The simulated camera of '{self.link.name}' {why}.", device=self.link.name
            ) from error
        return connected


Camera.simulated = SimulatedCamera
