"""Fixtures of the store's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.store.connection import Store
from tests.store.embedded_lab import EmbeddedLab, wait_until
from tests.store.table import Table


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lk-", dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture
def lab(tmp_path: Path, runtime: Path) -> Iterator[EmbeddedLab]:
    lab = EmbeddedLab(tmp_path / "instance", runtime)
    yield lab
    lab.close()
    wait_until(lab.is_gone)


@pytest.fixture
def table(store: Store) -> Table:
    """A lab as its scripts see it, at a time that the test sets."""
    return Table(store)
