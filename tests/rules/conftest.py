"""What the rules look at: the project's folder and its own files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {
    ".git",
    ".venv",
    ".audit",
    ".matrix",
    ".bench",
    ".fuzz",
    "build",
    "dist",
    "node_modules",
    "instance",
    "vendor",
    "__pycache__",
}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def own_files(root: Path) -> list[Path]:
    """Every file of the project that a person wrote, wherever the tree came from (a clone or an archive)."""
    return sorted(walk(root))


@pytest.fixture(scope="session")
def modules(own_files: list[Path], root: Path) -> list[Path]:
    """The Python files of both packages."""
    return [path for path in own_files if path.suffix == ".py" and is_library(path.relative_to(root))]


def is_library(path: Path) -> bool:
    return path.parts[0] in {"labkit", "labkit_plugins"}


def walk(folder: Path) -> Iterator[Path]:
    for name in os.listdir(folder):
        path = folder / name
        if path.is_symlink() or name in NOT_OURS or (name.startswith(".") and name.endswith("_cache")):
            continue
        if name == ".hypothesis" or name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from walk(path)
        elif path.is_file():
            yield path
