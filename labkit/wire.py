"""Values on their way through the store: JSON, with bytes as tagged base64. Never pickle.

Used by calls, tasks, feeds of states and session data. What JSON can't say and is not bytes is refused by name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from labkit.errors import NotStorableError

_BYTES = "$bytes"
_ESCAPE = "$"  # a user's own key that begins with "$" travels with one more "$"
MAX_DEPTH = 64
MOST_BITS = 14_000
"""Of a whole number: a little less than 4300 digits, which Python writes and reads."""
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder()
_AS_IT_IS = frozenset((str, bool, type(None)))
_READ_AS_IT_IS = _AS_IT_IS | {int, float}
"""Most values by far; to look no closer at those makes a call a few percent quicker."""


def dumps(value: Any, where: str = "value") -> str:
    """Encode a value. Tuples come back as lists. Errors: `NotStorableError`, naming where in `where` it stands."""
    return _ENCODER.encode(_pack(value, where, 0))


def loads(text: str | bytes) -> Any:
    """Decode what `dumps` made."""
    return _unpack(_DECODER.decode(text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")))


def _pack(value: Any, where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise NotStorableError(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise NotStorableError(f"{where} is a number of too many digits.")
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise NotStorableError(f"{where} is {value}, which JSON can't say.")
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {_BYTES: base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, (list, tuple)):
        return [
            item if type(item) in _AS_IT_IS else _pack(item, f"{where}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        packed = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotStorableError(f"{where} has the key {key!r}; only text can be a key.")
            name = _ESCAPE + key if key.startswith(_ESCAPE) else key
            packed[name] = item if type(item) in _AS_IT_IS else _pack(item, f"{where}[{key!r}]", depth + 1)
        return packed
    raise NotStorableError(
        f"{where} is of type {type(value).__name__}; only text, numbers, bytes, None, lists and dicts can be stored."
    )


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [item if type(item) in _READ_AS_IT_IS else _unpack(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and _BYTES in value:
            return base64.b64decode(value[_BYTES])
        return {(key[1:] if key.startswith(_ESCAPE + _ESCAPE) else key): _unpack(item) for key, item in value.items()}
    return value


def dump_fences(fences: Mapping[str, int]) -> str:
    """Benches and the fences of their reservations, as the store writes them: 'bench-1=17 bench-2=19'."""
    return " ".join(f"{bench}={fence}" for bench, fence in fences.items())


def load_fences(text: str) -> dict[str, int]:
    """Read what `dump_fences` wrote."""
    return {bench: int(fence) for bench, _, fence in (pair.partition("=") for pair in text.split())}
