"""Whether the parts of `labkit run` are ready: the web answers, the benches have opened or say why not. Blocks, so it
has a thread of its own; it tells what it sees, and starts or ends nothing.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.clock import Deadline
from labkit.errors import StoreUnavailableError

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.store.reservations import DeviceView

PATIENCE = 40.0
"""Seconds after which the screen shows what there is, ready or not."""
LOOK_AGAIN = 0.2
BEING_OPENED = "being opened"


@dataclass(kw_only=True)
class Readiness:
    """What was seen so far. devices: by full name, those of this machine."""

    web: bool = False
    devices: dict[str, DeviceView] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Benches of this machine that no host has yet."""


def look_until_ready(lab: Lab, url: str, stopping: threading.Event, seconds: float = PATIENCE) -> Readiness:
    """Wait until all is ready, or it is clear why not; at most so many seconds."""
    seen, deadline, position = Readiness(), Deadline(seconds), "0-0"
    wait_for_web(lab, url, seen, deadline, stopping)
    while not stopping.is_set():
        try:
            position = lab.processes.changes_position()
            look_at_benches(lab, seen)
        except StoreUnavailableError:
            seen.missing = list(lab.catalog.benches)
        opening = [
            view for view in seen.devices.values() if view.condition == "offline" and view.reason == BEING_OPENED
        ]
        if deadline.over or not (opening or seen.missing):
            break
        wait_for_news(lab, position, deadline, stopping)
    return seen


def wait_for_web(lab: Lab, url: str, seen: Readiness, deadline: Deadline, stopping: threading.Event) -> None:
    """The socket is open from the beginning: a request waits in it until a worker answers, whatever it answers."""
    address = f"{url}/{lab.settings.base_url.strip('/')}".rstrip("/") + "/weblab/sessions/api"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not seen.web and not deadline.over and not stopping.is_set():
        try:
            with opener.open(address, timeout=max(0.1, deadline.left())):
                seen.web = True
        except urllib.error.HTTPError:
            seen.web = True
        except (OSError, http.client.HTTPException):
            stopping.wait(LOOK_AGAIN)


def wait_for_news(lab: Lab, position: str, deadline: Deadline, stopping: threading.Event) -> None:
    """Wait for the next change that a host tells; a claim tells none, so not for long."""
    try:
        lab.processes.wait_for_changes(position, min(LOOK_AGAIN, deadline.left()))
    except StoreUnavailableError:
        stopping.wait(LOOK_AGAIN)


def look_at_benches(lab: Lab, seen: Readiness) -> None:
    """Read what the hosts say of the benches that this machine may have."""
    views = {view.name: view for view in lab.reservations.benches() if view.host}
    mine = [bench.name for bench in lab.catalog.for_machine(lab.settings.machine_name)]
    seen.missing = [name for name in mine if name not in views]
    seen.devices = {device.name: device for name in mine if name in views for device in views[name].devices}
