"""What pages ask for over their socket, read and checked: anything can come from a browser. Used by the sockets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadRequestError, UnknownDeviceError
from labkit.store.feeds import Cursor
from labkit.store.sessions import SessionRecord
from labkit.web.page_values import require_plain

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_DEVICE = re.compile(rf"{_NAME.pattern}/{_NAME.pattern}")


@dataclass(frozen=True, kw_only=True)
class FeedRequest:
    """One feed of one device; cursor: what the page has of it, None: nothing. frame: the number of one that it has."""

    device: str
    feed: str
    cursor: Cursor | None
    frame: int | None = None

    def check(self, record: SessionRecord) -> None:
        """Errors: `UnknownDeviceError` where the device is on no bench of the session."""
        if self.device.partition("/")[0] not in record.fences:
            raise UnknownDeviceError(f"Your session has no device '{self.device}'.", device=self.device)

    def require_cursor(self) -> Cursor:
        """Errors: `BadRequestError` where there is none."""
        if self.cursor is None:
            raise BadRequestError("cursor", "cursor is missing; give the one that came with the data.")
        return self.cursor


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """One use of a command."""

    device: str
    command: str
    args: list[Any]
    kwargs: dict[str, Any]


def feed_request(given: Any) -> FeedRequest:
    """Read what names a feed. Errors: `BadRequestError` naming the key."""
    fields = _fields(given)
    cursor = fields.get("cursor")
    return FeedRequest(
        device=_text(fields, "device", _DEVICE),
        feed=_text(fields, "feed", _NAME),
        cursor=None if cursor is None else _cursor(cursor),
        frame=_number(fields, "id"),
    )


def call_request(given: Any) -> CallRequest:
    """Read a call. Errors: `BadRequestError` naming the key."""
    fields = _fields(given)
    args, kwargs = fields.get("args"), fields.get("kwargs")
    if args is not None and not isinstance(args, list):
        raise BadRequestError("args", f"args must be a list, not {type(args).__name__}.")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise BadRequestError("kwargs", f"kwargs must be an object, not {type(kwargs).__name__}.")
    require_plain("args", args)
    require_plain("kwargs", kwargs)
    return CallRequest(
        device=_text(fields, "device", None), command=_text(fields, "command", _NAME),
        args=args or [], kwargs=kwargs or {},
    )  # fmt: skip


def _fields(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise BadRequestError("event", f"The event must carry one object, not {type(given).__name__}.")
    return given


def _text(fields: dict[str, Any], key: str, pattern: re.Pattern[str] | None) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise BadRequestError(key, f"{key} must be text, not {type(value).__name__ if value != '' else 'empty'}.")
    require_plain(key, value)
    if len(value) > 200 or (pattern is not None and not pattern.fullmatch(value)):
        example = "bench-1/console" if key == "device" else "a name"
        raise BadRequestError(key, f"{key} is {value[:40]!a}, which is no {key}; one looks like {example}.")
    return value


def _number(fields: dict[str, Any], key: str) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequestError(key, f"{key} must be a whole number, not {type(value).__name__}.")
    return value


def _cursor(value: Any) -> Cursor:
    if not isinstance(value, str):
        raise BadRequestError("cursor", f"cursor must be text or null, not {type(value).__name__}.")
    try:
        return Cursor.parse(value)
    except ValueError as error:
        raise BadRequestError("cursor", f"cursor: {error}") from None
