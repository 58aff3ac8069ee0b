"""The program that reads one picture source with FFmpeg and hands on JPEG pictures. Started by `source.py`.

    echo '{"url": "rtsp://...", ...}' | python grabber.py > pictures

FFmpeg may hang in a kernel driver, crash on what a broken camera sends, or wait for a network that has gone. In a
process of its own it can be ended at any moment, and takes nobody with it. A source that gives JPEG is not decoded:
its packets go on as they are. Stdlib and PyAV only, and it imports nothing of labkit, so that it starts quickly.

On stdout come packets: HEADER (kind, length, time), then as many bytes. Kinds: STARTED (FFmpeg is loaded; the source is
opened next), PICTURE (time: UTC seconds of its capture), PROBLEM (why there is no more; the program ends).
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

HEADER = struct.Struct("!cId")
STARTED, PICTURE, PROBLEM = b"s", b"f", b"p"

_STALE = 60.0  # a capture time further from now than this is none: the driver counts from something else
_UNTIMED = 25.0  # pictures a second of a file that does not say
_BLUR = (2, 31)  # FFmpeg's scale of JPEG quality, best and worst


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to read, and how. Arrives as JSON on stdin, since command lines can be read by everybody.

    container and options: FFmpeg's name of the input format, and its options. live: pictures come when they come; else
    they are played at their own speed, for ever. stamped: the source's times are UTC. rate: pictures a second at most.
    size and quality: of what has to be encoded.
    """

    url: str
    parent: int
    container: str | None
    options: dict[str, str]
    timeout: float | None
    live: bool
    stamped: bool
    rate: float | None
    size: tuple[int, int] | None
    quality: int


class SourceError(Exception):
    """There are no more pictures; the text says why."""


class Encoder:
    """Makes JPEG of what was decoded; follows a source that changes its size."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._context: Any = None

    def encode(self, frame: Any) -> bytes:
        from fractions import Fraction

        import av

        width, height = self._plan.size or (frame.width, frame.height)
        frame = frame.reformat(width=width, height=height, format="yuvj420p")
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            self._context = av.CodecContext.create("mjpeg", "w")
            self._context.width, self._context.height, self._context.pix_fmt = width, height, "yuvj420p"
            self._context.time_base = Fraction(1, 1000)
            self._context.qmin = self._context.qmax = blur(self._plan.quality)
            self._number = 0
        frame.pts, self._number = self._number, self._number + 1
        frame.time_base = Fraction(1, 1000)
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


def blur(quality: int) -> int:
    """FFmpeg's quantiser for a quality of 1 to 100."""
    best, worst = _BLUR
    return round(worst - (worst - best) * (quality - 1) / 99)


class Pace:
    """Which pictures to take, and when to hand them on, by their times in seconds."""

    def __init__(self, rate: float | None):
        self._step = 1 / rate if rate else 0.0
        self._due: float | None = None
        self._zero: float | None = None

    def takes(self, at: float) -> bool:
        """Is this picture wanted? A quarter of a step early is on time, so that jitter costs no picture."""
        if self._due is not None and self._due - at > 2 * self._step:
            self._due = None  # time went backwards: the source began again
        if self._due is not None and at < self._due - self._step / 4:
            return False
        self._due = max(self._due if self._due is not None else at, at - self._step / 4) + self._step
        return True

    def wait(self, at: float) -> None:
        """Wait until a picture of a recording is due."""
        now = time.monotonic()
        if self._zero is None:
            self._zero = now - at
        threading.Event().wait(max(0.0, min(self._zero + at - now, 10.0)))


def pictures(plan: Plan) -> Iterator[tuple[bytes, float]]:
    """The pictures of the source with their capture times, until it ends. Errors: `SourceError`, FFmpeg's own."""
    pace, encoder, played = Pace(plan.rate), Encoder(plan), 0.0
    while True:
        last = None
        for item, at in _raw(plan, played):
            last = at
            if not pace.takes(at):
                continue
            if not plan.live:
                pace.wait(at)
            data = encoder.encode(item) if hasattr(item, "reformat") else bytes(item)
            yield data, at if plan.live else time.time()
        if plan.live:
            raise SourceError("the stream has ended")
        if last is None:
            raise SourceError("there is no picture in it")
        played = last + 1 / (plan.rate or _UNTIMED)


def _raw(plan: Plan, played: float) -> Iterator[tuple[Any, float]]:
    """What the container has, once through: packets of JPEG, else decoded frames; each with its time in seconds."""
    import av

    limits = None if plan.timeout is None else (plan.timeout, plan.timeout)
    with av.open(plan.url, format=plan.container, options=plan.options, timeout=limits) as container:
        if not container.streams.video:
            raise SourceError("there is no picture in it, only other things")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads over whole frames would hold pictures back
        items = container.demux(stream) if stream.codec_context.name == "mjpeg" else container.decode(stream)
        for number, item in enumerate(item for item in items if getattr(item, "size", 1)):
            yield item, _time(plan, item, number, played)


def _time(plan: Plan, item: Any, number: int, played: float) -> float:
    """UTC seconds of a live picture; of a recording seconds since its beginning, those played before included."""
    stamp = None if item.pts is None or item.time_base is None else float(item.pts * item.time_base)
    if plan.live:
        now = time.time()
        return stamp if plan.stamped and stamp is not None and abs(stamp - now) < _STALE else now
    return played + (number / _UNTIMED if stamp is None else stamp)


def _explain(error: Exception, plan: Plan) -> str:
    """Why, in FFmpeg's words; never its text with the address, which may hold a password."""
    import av

    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, av.error.ExitError):
        return f"it did not answer within {plan.timeout:g} s"
    if isinstance(error, OSError) and error.errno == errno.ENOENT and plan.live is False:
        return "there is no such file"
    if isinstance(error, (av.error.FFmpegError, OSError)) and error.strerror:
        return f"{error.strerror[0].lower()}{error.strerror[1:]}"
    if isinstance(error, ValueError) and plan.container is not None and _unknown(plan.container):
        return f"FFmpeg has no format '{plan.container}'"
    return type(error).__name__


def _unknown(container: str) -> bool:
    import av

    try:
        av.ContainerFormat(container, "r")
    except ValueError:
        return True
    return False


def run(plan: Plan, out: BinaryIO) -> None:
    """Write packets until the source ends or nobody reads them any more."""

    def write(kind: bytes, data: bytes = b"", at: float = 0.0) -> None:
        out.write(HEADER.pack(kind, len(data), at) + data)
        out.flush()

    try:
        import av
    except ImportError:
        write(PROBLEM, b"PyAV is missing. Run: pip install 'labkit[camera]'")
        return
    av.logging.set_level(av.logging.PANIC)
    write(STARTED)
    try:
        for data, at in pictures(plan):
            write(PICTURE, data, at)
    except BrokenPipeError:
        return
    except Exception as error:  # whatever the source does becomes one sentence
        write(PROBLEM, _explain(error, plan).encode())


def _end_with(parent: int) -> None:
    """End at once when the parent process is gone, however it went and whatever hangs."""
    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        sys.exit("The parent process is gone already.")
    if os.getppid() != parent:  # asked after opening: so the number can't have come to mean another process
        sys.exit("The parent process is gone already.")

    def wait() -> None:
        select.select([fd], [], [])
        os._exit(0)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _end(signum: int, frame: object) -> NoReturn:
    sys.exit(0)


def main() -> None:
    facts = json.load(sys.stdin)
    plan = Plan(**facts | {"size": None if facts["size"] is None else tuple(facts["size"])})
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, which ends this program
    _end_with(plan.parent)
    run(plan, sys.stdout.buffer)


if __name__ == "__main__":
    main()
