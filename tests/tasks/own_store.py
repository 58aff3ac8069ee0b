"""Labs with tasks on a store of the test module's own, which a test may stop: fixtures for whoever imports them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.testing.store import StoreServer
from tests.tasks.task_lab import TaskLab, register


@pytest.fixture
def lab(server: StoreServer) -> Iterator[TaskLab]:
    """A lab that has no tasks yet."""
    with TaskLab(server.url) as lab:
        yield lab


@pytest.fixture(name="lab")
def lab_with_tasks(server: StoreServer) -> Iterator[TaskLab]:
    """A lab with the tasks that its child processes know, too."""
    with TaskLab(server.url) as lab:
        register(lab.tasks)
        yield lab
