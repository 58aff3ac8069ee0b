"""Fixtures of the store's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.embedded_lab import EmbeddedLab, wait_until


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
