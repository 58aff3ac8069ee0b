"""Loading a lab, for the program's processes: found with all that it imports, and without Python's garbage collector.

Nearly everything that is made meanwhile stays as long as the process. The collector would look through it again and
again, for a sixth of the time of a start.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from labkit.lab import Lab


def load_lab(environment: Mapping[str, str]) -> Lab:
    """Find the lab for a command. Errors: `Failure`."""
    with collector_paused():
        from labkit.cli.find import find_lab

        return find_lab(environment)


def load_app(environment: Mapping[str, str]) -> Flask:
    """Find the lab's app for a process that serves it. Errors: `Failure`."""
    with collector_paused():
        from labkit.cli.find import find_app

        return find_app(environment)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """In this block nobody looks for garbage, and what is there at its end is taken to stay for ever."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
