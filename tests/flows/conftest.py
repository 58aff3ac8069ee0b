"""Fixtures of the flow tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.harness import FlowLab, flow_lab
from tests.ports import free_ports


@pytest.fixture
def make_lab(tmp_path: Path, free_port: int) -> Iterator[Callable[..., FlowLab]]:
    """Makes a lab (see FlowLab) that is ended with the test."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> FlowLab:
            return stack.enter_context(flow_lab(tmp_path, free_port, **options))

        yield make


@pytest.fixture
def second_port(free_port: int) -> int:
    """One more free port."""
    return next(port for port in free_ports(2) if port != free_port)
