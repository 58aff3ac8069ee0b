"""The audit log: a JSON line for each session's start and end and each change of a device. Hooks only.

It comes in through the life-cycle hooks, as anybody's log could. The lines go to the logger `labkit.audit`, where
labkit puts a file if `LABKIT_AUDIT_LOG` names one, and where a lab may put a handler of its own.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import UTC, datetime

from labkit.plugin import DeviceEvent, SessionEvent, hookimpl

log = logging.getLogger("labkit.audit")


@hookimpl
def labkit_session_started(event: SessionEvent) -> None:
    _write("session started", event)


@hookimpl
def labkit_session_ended(event: SessionEvent) -> None:
    _write("session ended", event)


@hookimpl
def labkit_device_changed(event: DeviceEvent) -> None:
    _write("device changed", event)


def _write(what: str, event: SessionEvent | DeviceEvent) -> None:
    if log.handlers:  # else it would only be said twice in the process's own log
        at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
        log.info(json.dumps({**dataclasses.asdict(event), "at": at, "event": what}))
