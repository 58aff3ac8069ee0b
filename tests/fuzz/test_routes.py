"""Any request to any route is answered as docs/reference/openapi.json says, and a refused one changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from labkit.testing.store import StoreServer
from tests.fuzz.lab import FuzzedLab
from tests.fuzz.routes import Asker, Request, made_up, people


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, store_server: StoreServer) -> Iterator[FuzzedLab]:
    with FuzzedLab(tmp_path_factory.mktemp("lab"), store_server.url) as lab:
        yield lab.ready()


@pytest.fixture(scope="module")
def asker(lab: FuzzedLab) -> Asker:
    return Asker(lab)


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(request_=made_up(), who=people)
def test_any_request_is_answered_as_described_and_changes_nothing(
    lab: FuzzedLab, asker: Asker, request_: Request, who: str
) -> None:
    lab.done("routes", asker.ask(request_, who))
