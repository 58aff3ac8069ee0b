"""A lab as a program, which is its loop: `python -m tests.reference.loop_program THREADS RELOAD`, RELOAD a JSON value.

LOOP_FOLDER, LOOP_STORE and LOOP_PREFIX in the environment say where its files and its store are. It is also an app for
`flask --app`. In its folder lies a part of its source, `part.py`, which a test may change.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

from flask import Flask

from labkit import WebLab, weblab_user
from tests.small_lab import SmallLab
from tests.toy import GUARD


def register(weblab: WebLab, folder: Path) -> None:
    """The tasks, which both the program and the test know."""

    @weblab.task()
    def wait_for(name: str) -> bool:
        """Run until there is a file of this name."""
        until = time.monotonic() + GUARD
        while not (folder / name).exists() and time.monotonic() < until:
            time.sleep(0.01)
        return (folder / name).exists()

    @weblab.task()
    def count_on() -> int:
        """Add 1 to what the user's data has, in the program's process, whose id it gives."""
        weblab_user.data["count"] = weblab_user.data["count"] + 1
        weblab_user.data.store()
        return os.getpid()

    @weblab.task()
    def part() -> str:
        """What the part of the source in the folder says."""
        return str(importlib.import_module("part").WORD)


def make_lab() -> SmallLab:
    folder = Path(os.environ["LOOP_FOLDER"])
    lab = SmallLab(folder, os.environ["LOOP_STORE"], WEBLAB_REDIS_BASE=os.environ["LOOP_PREFIX"])
    register(lab.weblab, folder)
    sys.path.insert(0, str(folder))
    importlib.import_module("part")
    return lab


def create_app() -> Flask:
    return make_lab().app


if __name__ == "__main__":
    make_lab().weblab.loop(int(sys.argv[1]), json.loads(sys.argv[2]))
    print("loop has come back", flush=True)
