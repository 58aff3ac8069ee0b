"""A driver that imports its library at the top of its file. For test_contract."""

from __future__ import annotations

import serial  # noqa: F401 - stands for the library of some hardware

from tests.contract.bad_drivers import GoodPump


class PumpWithLibrary(GoodPump):
    """Its library is needed for checking a declaration."""
