"""Excerpt: the line of a file that a problem points at, with every secret of it hidden. Used by the reader of a bench.

`labkit check` draws it; here it is only cut out of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.devices.positions import Position, Span
from labkit.plugin.secret import HIDDEN


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """One line. column: from 1, of the first character that is meant; width: how many characters are meant."""

    text: str
    column: int
    width: int


def excerpt(text: str, place: Position, hidden: Sequence[Span] = ()) -> Excerpt:
    """Cut out the line of a place. hidden: stretches of the text that are shown as `***`, in any order."""
    lines = text.split("\n")
    row = min(place.line, len(lines)) - 1
    start = sum(len(line) + 1 for line in lines[:row])
    line, column, width = lines[row], place.column - 1, place.width
    for span in sorted(hidden, key=lambda one: one.start, reverse=True):
        first, last = max(span.start - start, 0), min(span.end - start, len(line))
        if first >= last:
            continue
        line = line[:first] + HIDDEN + line[last:]
        shift = len(HIDDEN) - (last - first)
        if last <= column:
            column += shift
        elif first < column + width:  # what is meant is hidden itself
            column, width = min(column, first), len(HIDDEN)
    column = min(column, len(line))
    return Excerpt(text=line, column=column + 1, width=max(1, min(width, len(line) - column)))
