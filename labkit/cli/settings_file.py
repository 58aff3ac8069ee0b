"""`labkit.toml`: the settings of a lab without an app, under their own names. All mistakes at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.devices.positions import Positions, with_plain_ends
from labkit.devices.problems import nearest
from labkit.errors import DeclarationError, InvalidConfigError
from labkit.settings import SETTINGS, read_settings

EXTRA = ("SECRET_KEY", "SERVER_NAME")
"""Keys of Flask's own that may stand there too."""

KNOWN = (*(setting.name for setting in SETTINGS), *EXTRA)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read the file; {} where there is none. Errors: `DeclarationError` with a line for each mistake."""
    try:
        text = with_plain_ends(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DeclarationError([f"{path.name}:1: can't be read: {reason}."]) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeclarationError([_syntax(path, text, str(error))]) from None
    places = Positions(text)
    mistakes = [(places.of((key,)).line, problem) for key, value in values.items() for problem in _wrong(key, value)]
    if mistakes:
        raise DeclarationError([f"{path.name}:{line}: {problem}" for line, problem in sorted(mistakes)])
    return values


def _wrong(key: str, value: Any) -> Iterator[str]:
    if key not in KNOWN and isinstance(value, dict):
        yield f"[{key}]: unknown table. All settings stand at the top, outside of any table."
    elif key not in KNOWN:
        known = {name.lower(): name for name in KNOWN}
        meant = nearest(key, known) or nearest(f"labkit_{key}", known)
        hint = f" Did you mean {known[meant]}?" if meant else ""
        yield f"{key}: unknown key.{hint}"
    elif isinstance(value, (dict, list)):
        yield f"{key}: must be one value, not a {'table' if isinstance(value, dict) else 'list'}."
    else:
        try:
            read_settings({key: value})
        except InvalidConfigError as error:
            yield str(error)


def _syntax(path: Path, text: str, message: str) -> str:
    """tomllib's sentence with its place in front."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found is not None:
        return f"{path.name}:{found[2]}:{found[3]}: not valid TOML: {found[1]}."
    what = message.removesuffix(" (at end of document)")
    return f"{path.name}:{text.rstrip().count(chr(10)) + 1}: not valid TOML: {what} at the end of the file."
