"""What one session may have of the sockets: so many, opened so quickly, and so many events by all of them together."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from labkit.web import rates, visitors
from labkit.web.rates import Buckets
from labkit.web.visitors import MOST_REFUSED, MOST_WAITING, OPENED_AT_ONCE, OPENED_PER_SECOND, Verdict, Visit, Visitors
from tests.toy import GUARD
from tests.web.standing_time import StandingTime


def of(who: str) -> dict[str, Any]:
    return {"who": who}


def some(sockets: int = 3, events: float = 0) -> Visitors:
    return Visitors(lambda environ: str(environ["who"]), events=events, sockets=sockets)


# -- coming and going


def test_session_has_so_many_sockets_and_another_one_as_many() -> None:
    found = some(sockets=2)
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(found.visit(of("a"), 0))
        with found.visit(of("a"), 0) as second:
            assert second
            with found.visit(of("a"), 0) as third:
                assert third is None
            with found.visit(of("b"), 0) as other:
                assert other
        assert stack.enter_context(found.visit(of("a"), 0))  # one has gone
        assert repr(found) == "<Visitors sessions=1 sockets=2>"
    assert repr(found) == "<Visitors sessions=0 sockets=0>"


@pytest.mark.parametrize(("places", "most"), [(0, 16), (4, 2), (7, 2), (28, 7), (1000, 16)])
def test_one_session_never_gets_more_than_a_quarter_of_all_places(places: int, most: int) -> None:
    found = some(sockets=16)
    with contextlib.ExitStack() as stack:
        let_in = [stack.enter_context(found.visit(of("a"), places)) for _ in range(most + 3)]
        assert [visit is not None for visit in let_in] == [True] * most + [False] * 3


def test_session_that_opens_and_closes_without_end_is_slowed_down_and_no_other_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "time", clock := StandingTime())
    found = some()

    def let_in() -> int:
        count = 0
        for _ in range(int(10 * OPENED_AT_ONCE)):
            with found.visit(of("a"), 0) as visit:
                count += visit is not None
        return count

    assert let_in() == OPENED_AT_ONCE
    clock.now += 1.0
    assert let_in() == OPENED_PER_SECOND
    with found.visit(of("b"), 0) as other:
        assert other


def test_any_number_where_the_lab_wants_no_limit() -> None:
    found = some(sockets=0)
    with contextlib.ExitStack() as stack:
        assert all(stack.enter_context(found.visit(of("a"), 4)) for _ in range(200))


# -- asking


def asked(visit: Visit, times: int, waiting: int) -> list[Verdict]:
    return [visit.ask(1.0, waiting) for _ in range(times)]


def test_who_sends_on_is_refused_and_who_goes_on_with_that_is_put_out() -> None:
    visit = Visit("a", Buckets(0.001, at_once=10))
    assert asked(visit, 10, MOST_WAITING + 1) == [Verdict.PASS] * 10
    assert asked(visit, MOST_REFUSED, MOST_WAITING + 1) == [Verdict.REFUSE] * MOST_REFUSED
    assert visit.ask(1.0, MOST_WAITING + 1) is Verdict.END


def test_who_waits_for_answers_is_only_slowed_down() -> None:
    visit = Visit("a", Buckets(200, at_once=1))
    assert asked(visit, 50, 0) == [Verdict.PASS] * 50


def test_what_was_refused_is_forgotten_when_it_has_been_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "CALM_SECONDS", 600.0)
    visit = Visit("a", Buckets(100, at_once=1))
    while visit.ask(1.0, MOST_WAITING + 1) is Verdict.PASS:
        pass
    assert [visit.ask(1.0, 0), visit._refusals] == [Verdict.PASS, 1]
    monkeypatch.setattr(visitors, "CALM_SECONDS", 0.0)
    while visit.ask(1.0, MOST_WAITING + 1) is Verdict.PASS:
        pass
    assert visit._refusals >= 2
    assert [visit.ask(1.0, 0), visit._refusals] == [Verdict.PASS, 0]


def test_all_sockets_of_a_session_ask_out_of_one_bucket() -> None:
    bucket = Buckets(0.001, at_once=10)
    first, second, other = Visit("a", bucket), Visit("a", bucket), Visit("b", bucket)
    assert asked(first, 10, MOST_WAITING + 1) == [Verdict.PASS] * 10
    assert second.ask(1.0, MOST_WAITING + 1) is Verdict.REFUSE
    assert other.ask(1.0, MOST_WAITING + 1) is Verdict.PASS


def test_who_waits_goes_on_as_soon_as_there_is_enough_again() -> None:
    visit, passed = Visit("a", Buckets(50, at_once=1)), threading.Event()
    assert visit.ask(1.0, 0) is Verdict.PASS
    waiting = threading.Thread(target=lambda: visit.ask(1.0, 0) is Verdict.PASS and passed.set())
    waiting.start()
    waiting.join(GUARD)
    assert passed.is_set()


def test_connection_that_does_not_come_in_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "ENTER_SECONDS", 0.0)
    assert Visit("a", Buckets(0)).ask(0.1, 0) is Verdict.END
    page = Visit("a", Buckets(0))
    page.come_in()
    assert page.ask(0.1, 0) is Verdict.PASS
