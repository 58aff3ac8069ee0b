"""Where the web part of a lab answers: `labkit run` writes it into the instance folder, `labkit fake` reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from labkit.lab import Lab

FILE = "run.lock"
"""In the instance folder: locked by the `labkit run` of the lab, which writes a `RunRecord` into it as JSON."""
DEFAULT = "localhost:5000"
"""As of `flask run`."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a `labkit run` tells of itself. url: for programs on this machine; shown: for people, elsewhere too."""

    pid: int
    url: str
    shown: str


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to call a lab. host: what to call it there, so that its links lead there; '' as in the URL."""

    url: str
    host: str = ""


def read_record(instance: Path) -> RunRecord | None:
    """What the lab's last `labkit run` wrote; None where it ended in order. One that was killed leaves its record."""
    try:
        return RunRecord(**json.loads((instance / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def server_name(lab: Lab) -> str:
    """The URL that SERVER_NAME gives the lab, or ''."""
    name = lab.app.config.get("SERVER_NAME")
    return f"{lab.settings.scheme or 'http'}://{name}" if name else ""


def address_of(lab: Lab, given: str | None) -> Address:
    """Where the lab answers: what was given, else SERVER_NAME, else what `labkit run` wrote, else localhost:5000."""
    if given:
        return Address(url=given.rstrip("/") if "://" in given else f"http://{given.rstrip('/')}")
    if lab.app.config.get("SERVER_NAME"):
        return Address(url=f"http://{lab.app.config['SERVER_NAME']}")
    found = read_record(lab.instance)
    if found is not None:
        return Address(url=found.url, host=urlsplit(found.shown).netloc)
    return Address(url=f"http://{DEFAULT}")
