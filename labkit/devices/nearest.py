"""The word that was probably meant. Used wherever a name is looked up that a person wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 100
"""Characters of a word that a person may have mistyped; to compare longer ones takes ever longer."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty text."""
    if len(word) > LONGEST:
        return ""
    found = difflib.get_close_matches(word.lower(), list(known), n=1)
    return found[0] if found else ""
