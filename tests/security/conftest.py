"""What the attacks share: one busy lab for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.testing.store import StoreServer
from tests.security.busy_lab import BusyLab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[BusyLab]:
    with BusyLab(tmp_path_factory.mktemp("lab"), store_server.url) as made:
        yield made
