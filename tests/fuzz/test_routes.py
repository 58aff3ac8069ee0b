"""Any request to any route is answered as docs/reference/openapi.json says, and a refused one changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from labkit.testing.store import StoreServer
from tests.fuzz.lab import FuzzedLab
from tests.fuzz.routes import Asker, Request, made_up, people


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[Asker]:
    with FuzzedLab(tmp_path_factory.mktemp("lab"), store_server.url) as lab:
        yield Asker(lab.ready())


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(request_=made_up(), who=people)
def test_any_request_is_answered_as_described_and_changes_nothing(asker: Asker, request_: Request, who: str) -> None:
    asker.ask(request_, who)
