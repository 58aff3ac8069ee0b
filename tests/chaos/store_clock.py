"""The store's own clock in a chaos run: the real server, with a small library in it that moves its wall clock.

All that goes by that clock moves with it: the time that scripts see, what expires, ids of streams, waits. The library
is C (`store_clock.c`); where there is no compiler the clock stays right, and `moves` says so.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("store_clock.c")


class StoreClock:
    """The wall clock of one store. folder: where its files go. environment: what the server has to be started with."""

    def __init__(self, folder: Path):
        self._offset = folder / "store-clock"
        self._offset.write_bytes(struct.pack("d", 0.0))
        library = folder / "store-clock.so"
        compiler = shutil.which("cc")
        self.moves = compiler is not None
        self.environment: Mapping[str, str] = {}
        if compiler is not None:
            subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
            self.environment = {"LD_PRELOAD": str(library), "STORE_CLOCK": str(self._offset)}

    def jump(self, seconds: float) -> None:
        """Have it be so many seconds wrong from now on."""
        with open(self._offset, "r+b") as file:
            file.write(struct.pack("d", seconds))
