"""What may stand in a log or on a terminal: secrets by their hash, and text from outside without its tricks.

Used by whatever writes log lines, and by the commands that print tables.
"""

from __future__ import annotations

import hashlib

_SPELLED_OUT = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"},
    **{code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
"""Control characters, other ends of lines, and what turns the direction of reading around."""


def hashed(secret: str) -> str:
    """The start of the hash of a session's or task's id."""
    return hashlib.sha256(secret.encode(errors="backslashreplace")).hexdigest()[:12]


def plain(text: str) -> str:
    """Text from outside (a device, a plugin, an RLMS) as it may be shown.

    What would move the cursor, set a title, write to the clipboard or turn the reading around is spelled out.
    """
    return text.translate(_SPELLED_OUT)
