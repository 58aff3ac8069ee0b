"""What a page of documentation holds besides its sentences: code blocks, tables, links. For the tests of pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^# ([\w./-]+\.(?:py|toml|cfg|service|yml|conf))$")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block. file: the name in its first line, `# lab.py`, which is not part of `text`; '' for none."""

    language: str
    file: str
    text: str

    @property
    def code_lines(self) -> int:
        """How many lines are not empty."""
        return sum(bool(line.strip()) for line in self.text.splitlines())


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [_block(language, text) for language, text in _FENCE.findall(page.read_text("utf-8"))]


def _block(language: str, text: str) -> Block:
    first, _, rest = text.partition("\n")
    named = _FILE.match(first)
    return Block(language=language, file=named[1], text=rest) if named else Block(language=language, file="", text=text)


def write_files(blocks: list[Block], folder: Path) -> None:
    """Write the blocks that are files as a reader would."""
    for block in blocks:
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words of each command line in the page's `console` blocks: what stands after `$ `."""
    for block in blocks_of(page):
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    yield re.split(r"\s{2,}#", line[2:])[0].split()


def rows_of(text: str) -> list[list[str]]:
    """The cells of all table rows, without heads' rulers."""
    rows = [[cell.strip() for cell in row.split("|")] for row in _ROW.findall(text)]
    return [row for row in rows if not all(set(cell) <= set("-: ") for cell in row)]


def links_of(page: Path) -> list[str]:
    """Where the page's links lead, outside of code blocks."""
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))
