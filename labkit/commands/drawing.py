"""How a problem is drawn for people: the place, the sentence, the line of the file, a caret under what is meant.

Used by `check`. Colours on a terminal only, and not where NO_COLOR is set.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from labkit.devices.excerpt import Excerpt
    from labkit.devices.problems import Problem

TAB = 4
"""Columns from one tab stop to the next."""
WIDEST = 110
"""Columns of a line that are shown; a longer one is cut around what is meant."""
LONG = 1000
"""Characters of a line up to which all of it counts in how wide a part of it is."""
CUT = "..."
CONTEXT = 30
"""Columns before what is meant that stay of a line that is cut."""


def styled(text: str, **style: Any) -> str:
    """Colour a text, unless people have asked for none."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def drawn(problem: Problem) -> str:
    """A problem with its line, as several lines."""
    warning = problem.severity == "warning"
    place = f"{problem.file}:{problem.line}:{problem.column}:" if problem.line else f"{problem.file}:"
    words = [styled(place, bold=True)]
    words += [styled("warning:", fg="yellow", bold=True)] if warning else []
    words += [f"[{problem.where}]"] if problem.where else []
    lines = [" ".join([*words, problem.sentence])]
    if problem.excerpt is not None:
        lines += _with_caret(problem.line, problem.excerpt, "yellow" if warning else "red")
    return "\n".join(lines)


def _with_caret(line: int, excerpt: Excerpt, color: str) -> Iterator[str]:
    text, column, width = columns(excerpt)
    text, column = cut(text, column, width)
    width = min(width, WIDEST - column)
    number, bar = f"{line:>5}", " |"
    yield f"{styled(number + bar, dim=True)} {text}".rstrip()
    yield f"{styled(' ' * len(number) + bar, dim=True)} {' ' * column}{styled('^' * width, fg=color, bold=True)}"


def columns(excerpt: Excerpt) -> tuple[str, int, int]:
    """The line with its tabs as spaces, and where the caret begins and how long it is, in columns of a terminal."""
    shown, at = "", [0]
    for character in excerpt.text:
        more = " " * (TAB - at[-1] % TAB) if character == "\t" else visible(character)
        shown += more
        # What stands together may be narrower than its parts. To look at all of it each time takes too long in the end.
        at.append(_cells(shown) if len(shown) <= LONG else at[-1] + _cells(more))
    first, last = excerpt.column - 1, min(excerpt.column - 1 + excerpt.width, len(excerpt.text))
    return shown, at[first], max(1, at[max(first, last)] - at[first])


def cut(text: str, column: int, width: int) -> tuple[str, int]:
    """A line that is not too wide for a terminal, with what is meant in it; and where that begins now."""
    from rich.cells import get_character_cell_size

    if _cells(text) <= WIDEST:
        return text, column
    start = gone = 0
    if column + width > WIDEST:
        while column - gone > CONTEXT:
            gone += get_character_cell_size(text[start])
            start += 1
    kept = (CUT if start else "") + text[start : start + 2 * WIDEST]
    column += (len(CUT) if start else 0) - gone
    if _cells(kept) <= WIDEST and start + 2 * WIDEST >= len(text):
        return kept, column
    while _cells(kept) > WIDEST - len(CUT):
        kept = kept[:-1]
    return kept + CUT, column


def visible(character: str) -> str:
    """What a terminal may be sent of a file: nothing that moves its cursor."""
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
