"""Values written as TOML has them: in messages about declarations, and in the bench's file that a scan drafts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ACTS = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is, and TOML does not take, or a terminal acts on."""


def _refused(value: Any) -> str:
    raise TypeError(f"{value!r} can't be written as TOML")


def as_toml(value: Any, otherwise: Callable[[Any], str] = _refused) -> str:
    """A value on one line. otherwise: writes what TOML does not have; where it is left out, that is a TypeError."""
    if isinstance(value, str):
        return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key_as_toml(str(key))} = {as_toml(item, otherwise)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(as_toml(item, otherwise) for item in value)}]"
    return otherwise(value)


def key_as_toml(key: str) -> str:
    """A key, in quotes where it needs them."""
    return key if _BARE.fullmatch(key) else as_toml(key)
