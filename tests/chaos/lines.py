"""The lines that a chaos run sends to its boards. Used by the lab's app and by the students' pages."""

from __future__ import annotations


def line_of(token: str, size: int) -> bytes:
    """A comment for the board, with a token at both ends: so half a line is seen as one."""
    return f"# ~{token} {'.' * size} !{token}\r".encode()
