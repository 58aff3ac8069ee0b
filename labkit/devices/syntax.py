"""What is wrong with a file that is no TOML, in words that help. Used by the reader of a bench.

`tomllib` stops at the first mistake, and says what it is in its own words; where a word of this page is clearer, it
stands here instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from labkit.devices.positions import DEEPEST, Position, Positions, Twice
from labkit.devices.problems import shown

_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class SyntaxMistake:
    """One mistake. where: the table that has it, '' where none is meant."""

    message: str
    place: Position
    where: str = ""


def mistakes(error: str, text: str) -> list[SyntaxMistake]:
    """Take tomllib's sentence apart: what it says, and where. Before Python 3.14 the place stands only in its text."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", error, re.DOTALL)
    if found is None:
        return [SyntaxMistake(message=f"not valid TOML: {error}.", place=Position(line=1, column=1))]
    what, line, column = found.groups()
    if re.search(r"twice|overwrite|[Dd]uplicate|redefine|mutate", what):
        again = Positions(text).twice
        paths = {one.path for one in again}
        tops = [one for one in again if not any(one.path[:length] in paths for length in range(len(one.path)))]
        if tops:  # without what a table that is there twice has twice in it
            return [_again(one, text) for one in tops]
    if line is None:
        last = text.rstrip()
        place = Position(line=last.count("\n") + 1, column=1)
        return [SyntaxMistake(message=f"not valid TOML: {what} at the end of the file.", place=place)]
    place = Position(line=int(line), column=int(column))
    if what == "Invalid value":
        what, place = _no_value(text, place)
    return [SyntaxMistake(message=f"not valid TOML: {what}.", place=place)]


def refuse_deep(tables: Any) -> None:
    """Errors: RecursionError for what is nested deeper than any bench needs, which nobody could show or check."""
    level = [tables]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, (dict, list))]  # fmt: skip
        if not level:
            return
    raise RecursionError


def beyond_limits(error: Exception, text: str) -> tuple[str, Position]:
    """What Python refuses to read though it is TOML, and where: a number that is too long, or lists within lists."""
    long = max(re.finditer(r"[0-9_]+", text), key=lambda found: len(found[0]), default=None)
    if isinstance(error, RecursionError) or long is None:
        lines = text.split("\n")
        number = max(range(len(lines)), key=lambda index: sum(map(lines[index].count, "[{.")))
        return "lists or tables are nested too deep here.", Position(line=number + 1, column=1)
    before = text[: long.start()].split("\n")
    return "a number has too many digits.", Position(line=len(before), column=len(before[-1]) + 1, width=len(long[0]))


def _again(one: Twice, text: str) -> SyntaxMistake:
    before = text.split("\n")[one.place.line - 1][: one.place.column - 1]
    first = f"the first time in line {one.first.line}"
    if before.lstrip().startswith("[") and "=" not in before:
        header = ".".join(map(str, one.path))
        message = f"[{header}] is declared twice in this file, {first}. Give one another name, or make them one table."
        return SyntaxMistake(message=message, place=one.place)
    where, *keys = one.path
    key = f"{shown(tuple(keys) or one.path)}: "
    message = f"{key}is written twice in this table, {first}. Take one of them out."
    return SyntaxMistake(message=message, place=one.place, where=str(where) if keys else "")


def _no_value(text: str, place: Position) -> tuple[str, Position]:
    rest = text.split("\n")[place.line - 1][place.column - 1 :]
    word = next(_words(rest), "")
    if not word:
        return "there is no value here", place
    marked = Position(line=place.line, column=place.column, width=len(word))
    if word.lower() in _TRUE + _FALSE:
        return f"write {'true' if word.lower() in _TRUE else 'false'}, in small letters and without quotes", marked
    return "text has to stand in quotes", marked


def _words(rest: str) -> Iterator[str]:
    found = re.match(r"[^\s,\]}#]+", rest)
    if found:
        yield found[0]
