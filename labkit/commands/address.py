"""Where the web part of a lab answers: `labkit run` writes it into the instance folder, `labkit fake` reads it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab import Lab

FILE = "web.url"
DEFAULT = "localhost:5000"
"""As of `flask run`."""


def write_address(instance: Path, url: str) -> None:
    """Write down where the web part answers."""
    instance.mkdir(parents=True, exist_ok=True)
    (instance / FILE).write_text(url + "\n", "utf-8")


def forget_address(instance: Path) -> None:
    """The web part has ended. Twice is fine."""
    with contextlib.suppress(OSError):
        (instance / FILE).unlink(missing_ok=True)


def address_of(lab: Lab, given: str | None) -> str:
    """The URL of the lab: what was given, else SERVER_NAME, else what `labkit run` wrote, else localhost:5000."""
    if given:
        return given.rstrip("/") if "://" in given else f"http://{given.rstrip('/')}"
    if lab.app.config.get("SERVER_NAME"):
        return f"http://{lab.app.config['SERVER_NAME']}"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        written = (lab.instance / FILE).read_text("utf-8").strip()
        if written:
            return written
    return f"http://{DEFAULT}"
