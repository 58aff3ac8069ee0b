"""The driver contract on the twin, with all its faults; on a test pattern, a film, and a network camera."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from labkit.testing.driver_contract import DriverContract, Subject, subject_of
from labkit_plugins.camera import Camera
from labkit_plugins.camera.capture import NoSignalError
from tests.contract.patience import patient_contract as patient_contract
from tests.plugins.camera.conftest import NetworkCamera, jpeg, write_film
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD, wait_until

CALLS = {"snapshot": {"timeout": 0.05}}
"""So short that it never counts as a command that waits: the first picture after an opening takes its time, later ones
don't. No source that is well keeps a snapshot waiting for sure, so interrupting one is in test_driver.py."""
SELDOM_WAITS = ("ends-a-command-that-is-interrupted", "can-be-released-while-it-is-busy")
NO_FAULTS = (
    "can-be-ended-when-the-device-hangs", "survives-noise", "bears-a-slow-device", "notices-that-it-was-unplugged",
)  # fmt: skip


def with_a_picture(subject: Subject) -> Subject:
    """The subject, when it has given one: so it has, whichever rule comes first and however slow its start is."""
    camera = subject.instance()
    camera.open()
    try:
        wait_until(lambda: _gives_a_picture(camera), "the first picture")
    finally:
        camera.close()
    return subject


def _gives_a_picture(camera: Camera) -> bool:
    with contextlib.suppress(NoSignalError):
        camera.health()
        return True
    return False


class TestTwin(DriverContract):
    driver = Camera
    options: ClassVar[Mapping[str, Any]] = {"simulate": True, "timeout": GUARD}
    calls = CALLS
    not_tried: ClassVar[Collection[str]] = ()
    perhaps_tried: ClassVar[Collection[str]] = SELDOM_WAITS

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with super().under_test() as subject:
            yield with_a_picture(subject)
            end_program(subject.instance())  # type: ignore[arg-type]


class TestPattern(DriverContract):
    driver = Camera
    options: ClassVar[Mapping[str, Any]] = {"test_pattern": True, "timeout": GUARD}
    calls = CALLS
    not_tried: ClassVar[Collection[str]] = NO_FAULTS
    perhaps_tried: ClassVar[Collection[str]] = SELDOM_WAITS

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with super().under_test() as subject:
            yield with_a_picture(subject)


class TestFilm(DriverContract):
    driver = Camera
    not_tried: ClassVar[Collection[str]] = NO_FAULTS
    perhaps_tried: ClassVar[Collection[str]] = SELDOM_WAITS

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with tempfile.TemporaryDirectory(prefix="lk-") as folder:
            film = Path(folder) / "film.avi"
            write_film(film, "mpeg4")
            with subject_of(Camera, {"url": str(film), "timeout": GUARD}, calls=CALLS) as subject:
                yield with_a_picture(subject)


class TestNetworkCamera(DriverContract):
    """A camera on the network, which can fall silent, speak nonsense and be slow, but is never unplugged: it has no
    signal then."""

    driver = Camera
    not_tried: ClassVar[Collection[str]] = ("notices-that-it-was-unplugged",)
    perhaps_tried: ClassVar[Collection[str]] = SELDOM_WAITS

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
            with subject_of(Camera, {"url": camera.url, "timeout": GUARD}, calls=CALLS, inject=inject) as subject:
                yield with_a_picture(subject)
        finally:
            camera.close()
