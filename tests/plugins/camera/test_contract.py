"""The driver contract on the twin, with all its faults; on a test pattern, a film, and a network camera."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from labkit.testing.driver_contract import DriverContract, Subject, subject_of
from labkit_plugins.camera import Camera
from tests.plugins.camera.conftest import NetworkCamera, end_scene, jpeg
from tests.plugins.camera.test_driver import write_film

CALLS = {"snapshot": {"timeout": 0.05}}
"""So short that it never counts as a command that waits: the first picture after an opening takes its time, later ones
don't. Interrupting a snapshot is in test_driver.py."""


class TestTwin(DriverContract):
    driver = Camera
    options: ClassVar[Mapping[str, Any]] = {"simulate": True, "timeout": 1.0}
    calls = CALLS

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with super().under_test() as subject:
            yield subject
            end_scene(subject.instance())  # type: ignore[arg-type]


class TestPattern(DriverContract):
    driver = Camera
    options: ClassVar[Mapping[str, Any]] = {"test_pattern": True}
    calls = CALLS


class TestFilm(DriverContract):
    driver = Camera

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with tempfile.TemporaryDirectory(prefix="lk-") as folder:
            film = Path(folder) / "film.avi"
            write_film(film, "mpeg4")
            with subject_of(Camera, {"url": str(film)}, calls=CALLS) as subject:
                yield subject


class TestNetworkCamera(DriverContract):
    """A camera on the network, which can fall silent, speak nonsense and be slow, but is never unplugged: it has no
    signal then."""

    driver = Camera

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        pictures = [jpeg(number) for number in range(5)]
        camera = NetworkCamera(pictures)

        def inject(fault: str) -> None:
            if fault in ("unplug", "plug"):
                raise NotImplementedError
            camera.silent = fault == "hang"
            camera.interval = 1.0 if fault == "slow" else 0.02
            camera.pictures = [b"noise" * 100] if fault == "garbage" else pictures

        try:
            with subject_of(Camera, {"url": camera.url, "timeout": 1.0}, calls=CALLS, inject=inject) as subject:
                yield subject
        finally:
            camera.close()
