"""Events and frames that no page would send: answered, or their connection closed, and nothing has changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from labkit.testing.store import StoreServer
from tests.fuzz.lab import FuzzedLab
from tests.fuzz.sockets import Socket, events, frames, throw, visitors

some = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[FuzzedLab]:
    with FuzzedLab(tmp_path_factory.mktemp("lab"), store_server.url) as lab:
        yield lab.ready()


@pytest.fixture(scope="module")
def port(lab: FuzzedLab) -> Iterator[int]:
    with lab.served() as port:
        yield port


@pytest.fixture(scope="module")
def socket(lab: FuzzedLab, port: int) -> Iterator[Socket]:
    socket = Socket(lab, port)
    yield socket
    socket.close()


@some
@given(event=events)
def test_any_event_is_answered_and_changes_nothing(
    lab: FuzzedLab, socket: Socket, event: tuple[str, list[Any]]
) -> None:
    lab.done("event", socket.ask(*event))
    lab.unchanged()


@some
@given(visitor=visitors, content=frames)
def test_any_frames_of_anybody_change_nothing(
    lab: FuzzedLab, port: int, visitor: str, content: list[str | bytes]
) -> None:
    lab.done("frames", throw(lab, port, visitor, content))
    lab.unchanged()
