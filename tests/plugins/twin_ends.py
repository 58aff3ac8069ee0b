"""The end of a program that plays a device's hardware, which else lives as long as pytest. For the tests of twins."""

from __future__ import annotations

import contextlib

from labkit_plugins.twins.control import Control, ControlError
from labkit_plugins.twins.programtwin import ProgramTwin
from tests.toy import GUARD


def end_program(twin: ProgramTwin) -> None:
    """End the program of a twin and wait until it has removed its files; nothing where none runs."""
    try:
        control = Control(twin.control)
    except (FileNotFoundError, ConnectionError):
        return
    with control:
        with contextlib.suppress(ControlError):
            control.ask("end")
        assert control.wait_for_end(GUARD)
