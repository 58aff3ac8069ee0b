"""A store for the tests of tasks, and a lab with tasks on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.testing.store import StoreServer
from tests.tasks.task_lab import TaskLab, register


@pytest.fixture(scope="session")
def task_server() -> Iterator[StoreServer]:
    with StoreServer() as server:
        yield server


@pytest.fixture
def lab(task_server: StoreServer) -> Iterator[TaskLab]:
    with TaskLab(task_server.url) as lab:
        register(lab.tasks)
        yield lab
