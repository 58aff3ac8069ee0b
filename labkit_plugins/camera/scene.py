"""The scene: a program that is what a simulated camera looks at, and the camera's far end.

    python -m labkit_plugins.camera.scene --folder /tmp/bench/cam --title bench-1

Started by the simulated camera. It draws each line of its bench's simulated chips as a lamp, and only while somebody
asks for pictures: who connects to the socket `frames` and sends a byte gets packets as a grabber writes them. A viewer
that has not taken the last picture yet gets no other one meanwhile, so it always has the newest.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from labkit_plugins.camera.grabber import HEADER, PICTURE, STARTED
from labkit_plugins.camera.painting import Lamp, Painter, broken_bytes
from labkit_plugins.camera.source import FRAMES, RATE, SIZE
from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.door import Door, Watched
from labkit_plugins.twins.program import Place, TwinProgram, parser, run

_SLOW = 2.0  # seconds for a picture of a camera that is slow
_NOISE = 4096
_SENT = 256 * 1024


class Viewer:
    """A connection to the socket for pictures; one that asks for none only feels whether the camera is there."""

    def __init__(self, connected: socket.socket, asks: Callable[[Viewer], None], gone: Callable[[Viewer], None]):
        connected.setblocking(False)
        self._socket = connected
        self._asks = asks
        self._gone = gone
        self._waiting = b""
        self.asking = False
        self.fd = connected.fileno()

    @property
    def ready(self) -> bool:
        return self.asking and not self._waiting

    def watched(self) -> Watched:
        return self.fd, select.POLLIN | (select.POLLOUT if self._waiting else 0), self._serve

    def give(self, kind: bytes, data: bytes = b"", at: float = 0.0) -> None:
        self._waiting += HEADER.pack(kind, len(data), at) + data
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def _serve(self, events: int) -> None:
        if events & select.POLLOUT:
            self._flush()
        if events & ~select.POLLOUT and self.fd == self._socket.fileno():
            self._hear()

    def _hear(self) -> None:
        try:
            said = self._socket.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._gone(self)
        elif not self.asking:
            self.asking = True
            self.give(STARTED)
            self._asks(self)

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._waiting = self._waiting[self._socket.send(self._waiting[:_SENT]) :]
        except BlockingIOError:
            return
        except OSError:
            self._gone(self)


class Scene(TwinProgram):
    """The running scene: its lamps, its viewers, its clock."""

    kind = "camera"

    def __init__(self, place: Place, painter: Painter, rate: float):
        super().__init__(place)
        self._painter = painter
        self._rate = rate
        self._lamps: dict[Channel, dict[str, Lamp]] = {}
        self._window: Door[Viewer] | None = None
        """Where viewers come in; the door of the program itself is for those who ask it something."""
        self._picture_due = 0.0
        self._drawing = False
        self._drawn = 0
        self.requests["settings"] = self._settle

    # -- its life

    def begin(self) -> None:
        if self.place.folder is None:
            raise ValueError("a scene needs the folder of its camera: --folder")
        path, kind = self.place.folder / FRAMES, socket.SOCK_STREAM
        self._window = Door[Viewer](
            path, lambda new, gone: Viewer(new, self._begin_drawing, gone), Viewer.close, kind=kind
        )
        self._window.open()

    def finish(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window.hang_up()

    @property
    def _viewers(self) -> tuple[Viewer, ...]:
        return () if self._window is None else self._window.clients

    def status(self) -> Mapping[str, Any]:
        lamps = {name: {"lit": lamp.lit, "incoming": lamp.incoming} for name, lamp in self._all_lamps().items()}
        asking = sum(viewer.asking for viewer in self._viewers)
        return {"plugged": self.plugged, "viewers": asking, "drawn": self._drawn, "lamps": lamps}

    def faulted(self, fault: str) -> None:
        if not self.plugged:
            self.finish()
        elif self._window is not None:
            self._window.open()

    def watched(self) -> Iterator[Watched]:
        if self._window is not None:
            yield from self._window.watched()
        for viewer in self._viewers:
            yield viewer.watched()

    def _settle(self, client: Channel, words: list[str]) -> None:
        """Follow a declaration that was changed while the scene runs: title, size, pictures per second, quality."""
        title, size, rate, quality = words
        self._painter, self._rate = painter(title, size, int(quality)), float(rate)

    # -- the chips of its bench

    def met(self, neighbour: Channel, kind: str) -> bool:
        if kind != "gpio":
            return False
        neighbour.send("lines")
        neighbour.send("watch")
        return True

    def heard(self, neighbour: Channel, packet: Mapping[str, Any]) -> None:
        lamps = self._lamps.setdefault(neighbour, {})
        for name, line in packet.get("lines", {}).items():
            lamps[name] = _lamp(line)
        if "line" in packet:
            lamps[packet["line"]] = _lamp(packet)

    def _all_lamps(self) -> dict[str, Lamp]:
        """The lamps of the chips that are there."""
        there = set(self.neighbours.kept)
        self._lamps = {chip: lamps for chip, lamps in self._lamps.items() if chip in there}
        return {name: lamp for lamps in self._lamps.values() for name, lamp in lamps.items()}

    # -- pictures

    def _begin_drawing(self, viewer: Viewer) -> None:
        if not self._drawing:
            self._drawing = True
            self._picture_due = time.monotonic()
            self.later(0.0, self._draw)

    def _draw(self) -> None:
        """Draw for who has taken the last picture, and come again while anybody asks."""
        self._drawing = any(viewer.asking for viewer in self._viewers)
        if not self._drawing:
            return
        ready = [viewer for viewer in self._viewers if viewer.ready]
        if ready and "hang" not in self.faults:
            at = time.time()
            picture = self._take(at)
            for viewer in ready:
                viewer.give(PICTURE, picture, at)
        now = time.monotonic()
        self._picture_due = max(self._picture_due + (_SLOW if "slow" in self.faults else 1 / self._rate), now)
        self.later(self._picture_due - now, self._draw)

    def _take(self, at: float) -> bytes:
        self._drawn += 1
        if "garbage" not in self.faults:
            return self._painter.jpeg(self._all_lamps(), at)
        return self._painter.noise() if self._drawn % 2 else broken_bytes(_NOISE)


def _lamp(line: Mapping[str, Any]) -> Lamp:
    """How a line is shown: lit where people say that it is on, which a line that is active low is at level 0."""
    return Lamp(lit=bool(line.get("value", line["level"])), incoming=line.get("direction") == "in")


def painter(title: str, size: str, quality: int) -> Painter:
    width, _, height = size.partition("x")
    return Painter(title, (int(width), int(height)), min(quality, 95))


def main() -> None:
    options = parser("labkit_plugins.camera.scene", __doc__)
    options.add_argument("--title", default="bench", help="the name on the bench")
    options.add_argument("--size", default=SIZE, help="width x height in pixels")
    options.add_argument("--rate", type=float, default=RATE, help="pictures per second")
    options.add_argument("--quality", type=int, default=80, help="JPEG quality, 1 to 95")
    arguments = options.parse_args()
    drawn_by = painter(arguments.title, arguments.size, arguments.quality)
    run(Scene(Place.of(arguments), drawn_by, arguments.rate), arguments)


if __name__ == "__main__":
    main()
