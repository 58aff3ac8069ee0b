"""Reads what an RLMS sends to start a session. Used by `rlms`; rlms.md has the forms as they really come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from labkit.errors import BadRequestError
from labkit.sessions import StartRequest

YEAR = 366 * 24 * 3600.0

_LENGTH = "priority.queue.slot.length"
_START = "priority.queue.slot.start"


def parse_start(body: Mapping[str, Any]) -> StartRequest:
    """Read the body of a start. Unknown keys reach `on_start`. Errors: `BadRequestError` naming the key."""
    client = _mapping(body, "client_initial_data")
    server = _mapping(body, "server_initial_data")
    username = _text(server, "request.username")
    if not username:
        raise BadRequestError("request.username", "server_initial_data: request.username is missing.")
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
    return StartRequest(slot_start=_start(server), slot_length=_length(server), user=user)


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
        raise BadRequestError(key, f"server_initial_data: {key} must be text, not {type(value).__name__}.")
    return str(value)


def _back(body: Mapping[str, Any]) -> str | None:
    value = body.get("back")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadRequestError("back", f"back must be text, not {type(value).__name__}.")
    return value


def _number(data: Mapping[str, Any], key: str) -> float:
    value = data.get(key)
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise BadRequestError(
            key, f"server_initial_data: {key} must be a number of seconds, not {value!r:.80}."
        ) from None
    if not math.isfinite(number):
        raise BadRequestError(key, f"server_initial_data: {key} must be finite, not {value!r:.80}.")
    return number


def _length(server: Mapping[str, Any]) -> float:
    if server.get(_LENGTH) is None:
        raise BadRequestError(_LENGTH, f"server_initial_data: {_LENGTH} is missing.")
    length = _number(server, _LENGTH)
    if not 0 < length <= YEAR:
        raise BadRequestError(
            _LENGTH, f"server_initial_data: {_LENGTH} must be above 0 and at most a year, not {length:g} s."
        )
    return length


def _start(server: Mapping[str, Any]) -> float | None:
    """The slot's start: the timestamp where there is one, else UTC, else a local time or one with its offset."""
    if server.get(f"{_START}.timestamp") is not None:
        return _number(server, f"{_START}.timestamp")
    for key, zone in ((f"{_START}.utc", UTC), (_START, None)):
        value = server.get(key)
        if value is not None:
            return _date(key, value, zone)
    return None


def _date(key: str, value: Any, zone: Any) -> float:
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None and zone is not None:
            moment = moment.replace(tzinfo=zone)
        return moment.timestamp()  # without a zone: the machine's local time
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(
            key, f"server_initial_data: {key} must be a date such as 2026-11-22 09:33:46, not {value!r:.80}."
        ) from None
