"""Camera: 25 pictures a second of 1280x720 to ten pages, one of which stops reading. Run by `benchmarks`."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.programs import Program
from benchmarks.report import Report, quantile
from benchmarks.scale import Scale
from benchmarks.watched import seconds_of, watched_lab

NAME = "camera"
SIZE = (1280, 720)
RATE = 25
VIEWERS = 10
FRAME = 1000 / RATE
GRAIN = 12
"""How noisy the pictures are; chosen so that they have about 100 kB each, like those of a camera."""


def measure(report: Report, scale: Scale) -> None:
    """Ten pages look; then one more, which stops reading."""
    if importlib.util.find_spec("av") is None:
        report.leave_out(NAME, "PyAV is not installed. Run: pip install 'labkit[camera]'")
        return
    with watched_lab() as lab, tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        film = Path(folder) / "film.avi"
        draw(film)
        lab.declare("bench-1", f'[camera]\ndriver = "camera"\nurl = "{film}"\n')
        loop, web = lab.loop(), lab.web()
        cookie = lab.enter()
        with Program(sys.executable, "pages.py") as pages:
            pages.ask("open", ports=lab.ports, cookies=[cookie] * VIEWERS, within=20)
            pages.ask("subscribe", device="bench-1/camera", feed="frames")
            pages.ask("frames", seconds=scale.seconds(3, 1.5))
            seconds = scale.seconds(20, 2)
            _look(report, pages, seconds, (loop, web), "ten pages")
            pages.ask("open", ports=lab.ports, cookies=[cookie], within=20)
            pages.ask("subscribe", device="bench-1/camera", feed="frames")
            pages.ask("stop", count=1)
            _look(report, pages, seconds, (loop, web), "and one that stopped reading")


def _look(report: Report, pages: Program, seconds: float, processes: tuple[int, int], who: str) -> None:
    used, began = [seconds_of(pid) for pid in processes], time.monotonic()
    seen = pages.ask("frames", seconds=seconds)["pages"]
    took = time.monotonic() - began
    loop, web = ((seconds_of(pid) - before) / took * 100 for pid, before in zip(processes, used, strict=True))
    late = [come - captured for page in seen for captured, come, _ in page]
    size = statistics.mean(size for page in seen for _, _, size in page)
    rates = [len(page) / took for page in seen]
    note = f"frames of {size / 1000:.0f} kB, {min(rates):.1f} to {max(rates):.1f} a second at each page"
    figure = report.times(NAME, f"capture to page, {who}", late, note=note)
    report.figure(NAME, f"web process, {who}", web, "% of a core", note=f"loop {loop:.0f} %")
    report.at_most(NAME, f"web process, {who}", web, 25, "% of a core")
    report.at_most(NAME, f"p50 of capture to page, {who}", figure.value, FRAME, "ms")
    report.at_most(NAME, f"p99 of capture to page, {who}", quantile(late, 0.99) * 1e3, FRAME, "ms")
    report.at_least(NAME, f"frames a second at the slowest page, {who}", min(rates), 0.97 * RATE, "a second")


def draw(path: Path) -> None:
    """Make a film of JPEG pictures, each another one, which is played again and again and need not be decoded."""
    import av
    from PIL import Image, ImageChops

    with av.open(str(path), "w", format="avi") as film:
        stream = film.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 4
        ground = Image.linear_gradient("L").resize(SIZE)
        for number in range(2 * RATE):
            grain = Image.effect_noise(SIZE, GRAIN)
            picture = ImageChops.add(ImageChops.offset(ground, 20 * number), grain, 2).convert("RGB")
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
