"""Reads what an RLMS sends to start a session. Used by `rlms`; rlms.md has the forms as they really come."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from werkzeug.urls import iri_to_uri

from labkit.clock import Clock
from labkit.errors import BadRequestError
from labkit.sessions import StartRequest
from labkit.web.page_values import as_number, is_unicode, require_plain

YEAR = 366 * 24 * 3600.0

_SERVER = "server_initial_data"
_LENGTH = "priority.queue.slot.length"
_START = "priority.queue.slot.start"
_TIMESTAMP, _UTC, _ZONE = f"{_START}.timestamp", f"{_START}.utc", f"{_START}.timezone"

_EARLIEST = datetime.min.replace(tzinfo=UTC).timestamp()
_LATEST = datetime.max.replace(tzinfo=UTC).timestamp()
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-5][0-9]))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Now = Callable[[], float]


def parse_start(body: Mapping[str, Any], now: Now | None = None) -> StartRequest:
    """Read the body of a start. Unknown keys reach `on_start`. Errors: `BadRequestError` naming the key.

    now: gives the time, UTC seconds since 1970; only asked for where a local time can be read in two ways.
    """
    client = _mapping(body, "client_initial_data")
    server = _mapping(body, _SERVER)
    require_plain("client_initial_data", client)
    for key, value in server.items():
        require_plain(_SERVER, key)
        require_plain(key or _SERVER, value)  # a key of no letters names nothing
    username = _text(server, "request.username")
    if not username:
        raise BadRequestError("request.username", f"{_SERVER}: request.username is missing.")
    experiment, category = (
        _text(server, "request.experiment_id.experiment_name"),
        _text(server, "request.experiment_id.category_name"),
    )
    user = {
        "username": username,
        "username_unique": _text(server, "request.username.unique") or username,
        "full_name": _text(server, "request.full_name"),
        "locale": _text(server, "request.locale"),
        "experiment_name": experiment,
        "category_name": category,
        "experiment_id": f"{experiment}@{category}" if experiment and category else None,
        "back": _back(body),
        "client_data": client,
        "server_data": server,
    }
    return StartRequest(slot_start=_start(server, now or Clock().now), slot_length=_length(server), user=user)


def _mapping(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(key, f"{key} must be a JSON object, not {type(value).__name__}.")
    return value


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadRequestError(key, f"{_SERVER}: {key} must be text, not {type(value).__name__}.")
    if isinstance(value, str) and "\x00" in value:
        raise BadRequestError(key, f"{_SERVER}: {key} holds a NUL character.")
    return str(value)


def _back(body: Mapping[str, Any]) -> str | None:
    """Where the user goes back to. Whatever can't stand in a redirect is refused here, not at the user's end."""
    value = body.get("back")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRequestError("back", f"back must be text, not {type(value).__name__}.")
    try:
        if not is_unicode(value) or _CONTROL.search(value):
            raise ValueError
        if urlsplit(iri_to_uri(value)).scheme not in ("http", "https", ""):  # javascript: in a lab's own link, say
            raise ValueError
    except ValueError:
        raise BadRequestError("back", f"back is no address on the web: {value!a:.80}.") from None
    return value


# -- the slot


def _number(data: Mapping[str, Any], key: str) -> float:
    try:
        return as_number(data.get(key))
    except ValueError:
        raise BadRequestError(
            key, f"{_SERVER}: {key} must be a number of seconds, not {_shown(data.get(key))}."
        ) from None


def _length(server: Mapping[str, Any]) -> float:
    if server.get(_LENGTH) is None:
        raise BadRequestError(_LENGTH, f"{_SERVER}: {_LENGTH} is missing.")
    length = _number(server, _LENGTH)
    if not 0 < length <= YEAR:
        raise BadRequestError(_LENGTH, f"{_SERVER}: {_LENGTH} must be above 0 and at most a year, not {length:g} s.")
    return length


def _start(server: Mapping[str, Any], now: Now) -> float | None:
    """The slot's start, UTC seconds since 1970: the timestamp where there is one, else UTC, else a local time.

    A local time is one of `.start.timezone`, and without that of this machine. None: it counts from now. That is also
    so where the zone's name is none that this machine knows: an hour guessed wrong could end the session at once.
    """
    for key in (_START, _UTC, _ZONE):
        if not isinstance(server.get(key), (str, type(None))):
            raise BadRequestError(key, f"{_SERVER}: {key} must be text, not {type(server[key]).__name__}.")
    if server.get(_TIMESTAMP) is not None:
        moment = _number(server, _TIMESTAMP)
        if not _EARLIEST <= moment <= _LATEST:
            raise BadRequestError(_TIMESTAMP, f"{_SERVER}: {_TIMESTAMP} is not within the years 1 to 9999.")
        return moment
    if server.get(_UTC) is not None:
        return _moment(_UTC, server[_UTC], lambda: UTC, now)
    if server.get(_START) is None:
        return None
    try:
        return _moment(_START, server[_START], lambda: _zone(server.get(_ZONE)), now)
    except _UnknownZone:
        return None


def _moment(key: str, written: str, zone: Callable[[], tzinfo | None], now: Now) -> float:
    """Read a date; `zone` says where it is meant if it doesn't say so itself."""
    try:
        date = datetime.fromisoformat(written.strip())
        return date.timestamp() if date.tzinfo is not None else _from_local(date, zone(), now)
    except (ValueError, OverflowError):
        raise BadRequestError(
            key, f"{_SERVER}: {key} must be a date such as 2026-11-22 09:33:46, not {_shown(written)}."
        ) from None


def _from_local(date: datetime, zone: tzinfo | None, now: Now) -> float:
    """Read a local time of a zone, None: of this machine's.

    Where clocks go back an hour comes twice, and where they go forward one is missing; both can be read in two ways
    (before and after the change). The reading nearest to now is taken: a slot starts about now.
    """
    readings = sorted({date.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)})
    if len(readings) == 1:
        return readings[0]
    present = now()
    return min(readings, key=lambda moment: abs(moment - present))


class _UnknownZone(Exception):
    """The time zone is none that this machine knows; an RLMS may send a short name such as CEST."""


def _zone(name: str | None) -> tzinfo | None:
    """A time zone by its IANA name, 'UTC', or its offset such as +01:00. None: it is not said."""
    name = (name or "").strip()
    if not name:
        return None
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(name.upper())
    if offset is not None:
        return _fixed(offset[1], int(offset[2]), int(offset[3] or 0))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known; no name at all; the name of a folder of zones
        raise _UnknownZone(name) from None


def _fixed(sign: str, hours: int, minutes: int) -> tzinfo:
    if hours > 23:
        raise _UnknownZone
    size = timedelta(hours=hours, minutes=minutes)
    return timezone(-size if sign == "-" else size)


def _shown(value: Any) -> str:
    return f"{value!a:.80}"
