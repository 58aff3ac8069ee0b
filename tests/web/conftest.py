"""What the tests of the web part share: small labs in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab


@pytest.fixture
def make(tmp_path: Path, store_server: StoreServer) -> Iterator[Callable[..., SmallLab]]:
    """Makes a lab (see SmallLab) that is closed with the test."""
    made: list[SmallLab] = []

    def make_lab(**options: Any) -> SmallLab:
        made.append(SmallLab(tmp_path, store_server.url, **options))
        return made[-1]

    yield make_lab
    for lab in made:
        lab.__exit__(None, None, None)


@pytest.fixture
def lab(make: Callable[..., SmallLab]) -> SmallLab:
    """A lab without devices, its threads running."""
    return make().up()
