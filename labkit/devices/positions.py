"""Where the keys of a TOML text stand. Used by the declaration reader to place a problem at its line and column.

`tomllib` gives values and no positions; `tree-sitter-toml` gives positions. Values never come from here. The parser is
imported with the first position that is asked for, so that a program which reads no declarations never pays for it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

KeyPath = tuple[str | int, ...]
"""The way to a value from the top of the file: keys, and indexes of arrays from 0."""

DEEPEST = 50
"""Tables and lists within each other. What is nested deeper has the position of what it stands in, and no bench needs
it; Python could not walk through any number of them."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in a text; both count from 1, columns in characters. width: characters of what stands there."""

    line: int
    column: int
    width: int = field(default=1, compare=False)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a text; `start` and `end` count its characters from 0."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Twice:
    """A table or key that is written down again. TOML forbids it, and `tomllib` does not say where the first one is."""

    path: KeyPath
    place: Position
    first: Position


def with_plain_ends(text: str) -> str:
    """A text with its lines' ends as `tomllib` takes them: `\\r\\n` as `\\n`. Another `\\r` before that stays the
    mistake that it is in TOML; `tomllib`, which does the same once more, would take the two for one end."""
    return re.sub("(?<!\r)\r\n", "\n", text)


class Positions:
    """The positions of all keys of one TOML text."""

    def __init__(self, text: str):
        self._text = text

    def of(self, path: KeyPath) -> Position:
        """Return where the key stands, else the nearest table around it that is written down, else the text's start.

        A table that has a header of its own stands at that header, wherever dotted keys mention it before.
        """
        for length in range(len(path), 0, -1):
            place = self._survey.places.get(path[:length])
            if place is not None:
                return place
        return Position(line=1, column=1)

    def value(self, path: KeyPath) -> Span | None:
        """Where the value of a key is written, however many lines it has; None for a table with a header of its own."""
        return self._survey.values.get(path)

    @property
    def twice(self) -> list[Twice]:
        """What is written down again, in the order of the text."""
        return self._survey.twice

    @cached_property
    def _survey(self) -> _Survey:
        import tree_sitter_toml
        from tree_sitter import Language, Parser

        tree = Parser(Language(tree_sitter_toml.language())).parse(self._text.encode())
        survey = _Survey(self._text)
        survey.document(tree.root_node)
        return survey


class _Survey:
    """One walk over a syntax tree that notes each key at its first explicit place."""

    def __init__(self, text: str):
        self.places: dict[KeyPath, Position] = {}
        self.values: dict[KeyPath, Span] = {}
        self.twice: list[Twice] = []
        self._bytes = text.encode()
        self._written: set[KeyPath] = set()
        self._last_element: dict[KeyPath, int] = {}
        self._lines = self._bytes.split(b"\n")

    def document(self, node: Node) -> None:
        for part in node.children:
            if part.type == "pair":
                self._pair(part, ())
            elif part.type in ("table", "table_array_element"):
                self._table(part)
            elif part.type == "ERROR":
                self.document(part)

    def _table(self, node: Node) -> None:
        header = node.named_children[0]
        path = self._key(header, (), through_arrays=True)
        if node.type == "table_array_element":
            index = self._last_element.get(path, -1) + 1
            self._last_element[path] = index
            path = (*path, index)
            self._note(path, header, written=True)
        for part in node.children:
            if part.type == "pair":
                self._pair(part, path)

    def _pair(self, node: Node, table: KeyPath) -> None:
        self._value(node.children[-1], self._key(node.children[0], table))

    def _value(self, node: Node, path: KeyPath) -> None:
        self.values.setdefault(path, Span(start=self._count(node.start_byte), end=self._count(node.end_byte)))
        if len(path) > DEEPEST:
            return
        if node.type == "inline_table":
            for part in node.children:
                if part.type == "pair":
                    self._pair(part, path)
        elif node.type == "array":
            items = (part for part in node.named_children if part.type != "comment")
            for index, item in enumerate(items):
                self._note((*path, index), item, written=True)
                self._value(item, (*path, index))

    def _key(self, node: Node, table: KeyPath, *, through_arrays: bool = False) -> KeyPath:
        """Note a key that may be dotted, and return its path. The tables that it passes through are only mentioned."""
        path = table
        leaves = list(_leaves(node))
        for leaf in leaves:
            path = (*path, _name(leaf))
            self._note(path, leaf, written=leaf is leaves[-1])
            if through_arrays and leaf is not leaves[-1] and path in self._last_element:
                path = (*path, self._last_element[path])
        return path

    def _note(self, path: KeyPath, node: Node, *, written: bool) -> None:
        if path in self._written or (path in self.places and not written):
            if written and path not in self._last_element:  # each [[many]] is one more
                self.twice.append(Twice(path=path, place=self._place(node), first=self.places[path]))
            return
        self.places[path] = self._place(node)
        if written:
            self._written.add(path)

    def _place(self, node: Node) -> Position:
        row, column = node.start_point
        line = self._lines[row]
        end = node.end_point.column if node.end_point.row == row else len(line)
        return Position(
            line=row + 1,
            column=len(line[:column].decode(errors="replace")) + 1,
            width=max(1, len(line[column:end].decode(errors="replace").rstrip())),
        )

    def _count(self, bytes_before: int) -> int:
        return len(self._bytes[:bytes_before].decode(errors="replace"))


def _leaves(key: Node) -> Iterator[Node]:
    """The single names of a key, `a."b c".d` -> a, "b c", d."""
    waiting = [key]
    while waiting:
        part = waiting.pop()
        if part.type == "dotted_key":
            waiting += reversed(part.named_children)
        else:
            yield part


def _name(leaf: Node) -> str:
    text = (leaf.text or b"").decode()
    return next(iter(tomllib.loads(f"{text} = 0"))) if leaf.type == "quoted_key" else text
