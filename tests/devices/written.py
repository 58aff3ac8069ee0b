"""Files of a folder that a lab's owner writes. For the tests of declarations and of plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Write = Callable[..., Path]
"""Writes a file for each keyword, and returns their folder."""


def writer(folder: Path, name_of: Callable[[str], str]) -> Write:
    """A function that writes files into a folder; name_of: the name of the file for a keyword."""

    def write_files(**files: str) -> Path:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name_of(name)).write_text(text)
        return folder

    return write_files
