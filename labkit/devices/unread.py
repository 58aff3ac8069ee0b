"""Files beside the benches that nobody reads, though somebody meant them. Used by `check` and `run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.devices.nearest import nearest


def unread_benches(folder: Path) -> Iterator[Path]:
    """Files that were probably meant to be benches: bench-1.tml, bench-1.TOML, bench-1.toml.txt."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        hidden_or_backup = path.name.startswith((".", "#")) or path.name.endswith("~")
        read = path.suffix == ".toml"
        if not (hidden_or_backup or read) and path.is_file():
            endings = [part.lstrip(".") for part in path.suffixes]
            if any(nearest(ending, ["toml"]) for ending in endings):
                yield path
