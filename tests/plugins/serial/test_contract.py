"""The driver contract, with all its faults, on a real pty and on the twin."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from labkit.testing.board import BoardProcess
from labkit.testing.driver_contract import DriverContract, Subject, subject_of
from labkit_plugins.serial import SerialPort
from tests.contract.patience import patient_contract as patient_contract
from tests.plugins.twin_ends import end_program
from tests.toy import GUARD

CALLS = {"read_until": {"expected": b"x", "timeout": 0.0}}
LONG_CALLS = {"read_until": {"expected": b"never said", "timeout": 60.0}}


class TestTwin(DriverContract):
    driver = SerialPort
    options: ClassVar[Mapping[str, Any]] = {"simulate": True}
    calls = CALLS
    long_calls = LONG_CALLS

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with super().under_test() as subject:
            yield subject
            end_program(subject.instance())  # type: ignore[arg-type]


class TestPty(DriverContract):
    """The driver itself, on the tty of a board that the test pulls out and puts back."""

    driver = SerialPort

    @classmethod
    @contextlib.contextmanager
    def under_test(cls) -> Iterator[Subject]:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lk-")))
            board = stack.enter_context(BoardProcess.start(folder / "tty"))
            safe = {"send": "\u0003halt\r", "expect": "all leds are off", "timeout": GUARD}
            options = {"port": str(board.path), "safe": safe}
            subject = stack.enter_context(
                subject_of(SerialPort, options, calls=CALLS, long_calls=LONG_CALLS, inject=board.control)
            )
            yield subject
