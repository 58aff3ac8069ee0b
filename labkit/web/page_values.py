"""Values from outside, checked before anything is done with them. Used by the readers of what an RLMS or a page sends.

JSON, as Python reads it, says more than labkit can keep, pass on to a driver or show on a page: text that is no
Unicode, numbers without end, nesting without end.
"""

from __future__ import annotations

import math
import re
from typing import Any

from labkit.errors import BadRequestError

MAX_DEPTH = 50
"""Levels of lists and objects in one value. The store takes a few more, so a lab may put one into a dict of its own."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def require_plain(key: str, value: Any) -> None:
    """Refuse what could not be kept and passed on whole. Bytes are fine. Errors: `BadRequestError` naming `key`."""
    level = [value]
    for _ in range(MAX_DEPTH + 2):
        if not level:
            return
        inner: list[Any] = []
        for item in level:
            wrong = _wrong_with(item)
            if wrong:
                raise BadRequestError(key, f"{key} {wrong}.")
            if isinstance(item, dict):
                inner += [*item, *item.values()]
            elif isinstance(item, list):
                inner += item
        level = inner
    raise BadRequestError(key, f"{key} is nested deeper than {MAX_DEPTH} levels.")


def _wrong_with(item: Any) -> str:
    if isinstance(item, str):
        return "" if is_unicode(item) else "holds text that is no Unicode (half of a surrogate pair)"
    if isinstance(item, float):
        return "" if math.isfinite(item) else f"holds {item}, which is no number in JSON"
    if isinstance(item, int) and not -1e308 < item < 1e308:
        return "holds a number that is too large"
    return ""


def is_unicode(text: str) -> bool:
    """Whether text can be written as UTF-8. JSON can hold half of a surrogate pair, which can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_number(value: Any) -> float:
    """A finite number, also where it comes as text. Errors: ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("no number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("no number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("too large") from None
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
