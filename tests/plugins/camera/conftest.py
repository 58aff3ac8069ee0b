"""What tests of the camera need: a link that remembers, cameras that are closed, a network camera, pictures."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageDraw

from labkit.plugin import Frame
from labkit_plugins.camera import Camera, CameraOptions, SimulatedCamera, capture
from tests.plugins.opening import opening
from tests.plugins.remembering import Remembering
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD

BOUNDARY = "picture"


@dataclass
class RecordingLink(Remembering):
    """A device's link that keeps what the driver gave, and lets a test wait for it."""

    name: str = "bench-1/camera"
    looked_at: bool = False
    frames: list[Frame] = field(default_factory=list)
    signals: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, feed: str, data: Any) -> None:
        with self.changed:
            (self.frames if feed == "frames" else self.signals).append(data)
            self.changed.notify_all()

    def watched(self, feed: str) -> bool:
        assert feed == "frames"
        return self.looked_at

    def wait_frames(self, count: int, after: int = 0) -> list[Frame]:
        """So many pictures, behind the first `after` ones."""
        self.wait_for(lambda: len(self.frames) >= after + count)
        return self.frames[after:]

    def wait_signal(self, signal: bool, after: int = 0) -> dict[str, Any]:
        """The first state with this signal, behind the first `after` ones."""

        def found() -> dict[str, Any] | None:
            return next((said for said in self.signals[after:] if said["signal"] is signal), None)

        said: dict[str, Any] = self.wait_for(found)
        return said


class NetworkCamera:
    """A camera that gives MJPEG over HTTP, as `multipart/x-mixed-replace`; what it does can be changed at any time."""

    def __init__(self, pictures: list[bytes], port: int = 0):
        self.pictures = pictures
        self.interval = 0.02
        self.silent = False
        self.requests: list[str] = []
        self.changed = threading.Condition()
        self.viewers = 0
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="network-camera")
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.wait_viewers(0)

    def wait_viewers(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.viewers == count, GUARD), self.viewers

    def _count(self, step: int) -> None:
        with self.changed:
            self.viewers += step
            self.changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests.append(self.path)
                camera._count(1)
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                    self.end_headers()
                    camera._stream(self.wfile, self.connection)
                except OSError:
                    pass
                finally:
                    camera._count(-1)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def _stream(self, out: Any, connection: Any) -> None:
        number = 0
        while not self._stopping.wait(self.interval):
            if self.silent:
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(1):
                        return
                connection.setblocking(True)
                continue
            data = self.pictures[number % len(self.pictures)]
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            out.write(head.encode() + data + b"\r\n")
            number += 1


def jpeg(number: int = 0, size: tuple[int, int] = (160, 120)) -> bytes:
    """A picture that is like no other one."""
    image = Image.new("RGB", size, (40 + 20 * number % 200, 90, 160))
    ImageDraw.Draw(image).text((10, 10), f"picture {number}", fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    """A picture as pixels; fails where it is none."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB")


def write_film(path: Path, codec: str, count: int = 10) -> None:
    """A film of so many pictures, 20 a second, each darker than the one before."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=20)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_image(Image.new("RGB", (160, 120), (250 - 20 * number, 60, 60)))
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))


@pytest.fixture
def pictures() -> list[bytes]:
    return [jpeg(number) for number in range(5)]


@pytest.fixture
def network_camera(pictures: list[bytes]) -> Iterator[NetworkCamera]:
    camera = NetworkCamera(pictures)
    yield camera
    camera.close()


@pytest.fixture(autouse=True)
def patient_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who tells the thread of a capture something waits as long as a busy machine may keep it from hearing that."""
    monkeypatch.setattr(capture, "_PATIENCE", GUARD)


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture ends a moment after the last look, instead of seconds."""
    monkeypatch.setattr(capture, "LINGER", 0.1)


@pytest.fixture
def link(tmp_path: Path) -> RecordingLink:
    folder = tmp_path / "bench-1" / "camera"
    folder.mkdir(parents=True)
    return RecordingLink(folder)


@pytest.fixture
def open_camera(link: RecordingLink) -> Iterator[Callable[..., Camera]]:
    """Open the real driver; options by keyword. A camera at which somebody looks: `link.looked_at = True` before."""

    def make(**options: Any) -> Camera:
        return Camera(CameraOptions.model_validate({"timeout": GUARD} | options), link)

    with opening(make) as open_it:
        yield open_it


@pytest.fixture
def twin(link: RecordingLink) -> Iterator[SimulatedCamera]:
    """A twin that is not open yet; afterwards its scene is ended too, which otherwise lives as long as pytest."""
    with closing_twin(link, rate=25) as camera:
        yield camera


@contextlib.contextmanager
def closing_twin(link: RecordingLink, **options: Any) -> Iterator[SimulatedCamera]:
    """A twin with these options, and the end of it and of its scene."""
    camera = SimulatedCamera(CameraOptions.model_validate({"simulate": True, "timeout": GUARD} | options), link)
    try:
        yield camera
    finally:
        camera.close()
        end_program(camera)
