"""`poll()` and `logout()`: how a lab says that its user is there, or has gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit import logout, poll
from labkit.store.sessions import SessionState
from tests.reference.acting_lab import ActingLab
from tests.reference.promises import keeps
from tests.toy import wait_until

MakeLab = Callable[..., ActingLab]


@keeps("poll", "counts as the user's last poll at the end of the call")
def test_poll_counts_at_the_end_of_the_call(make: MakeLab) -> None:
    lab = make(WEBLAB_NO_THREAD=True, WEBLAB_AUTOPOLL=False)
    session_id = lab.start()
    student = lab.student(session_id)

    def last_poll() -> float:
        return lab.read(session_id).number("last_poll")

    before = last_poll()
    lab.visit(student)
    assert last_poll() == before

    def act() -> float:
        """The store's time near the end of the view."""
        poll()
        return lab.read(session_id).now

    assert last_poll() == before
    near_the_end = lab.visit(student, act).result
    assert last_poll() >= near_the_end > before


@keeps("poll", "counts as the user's last poll at the end of the call")
def test_poll_keeps_a_user_who_would_be_silent_too_long(make: MakeLab) -> None:
    lab = make(WEBLAB_NO_THREAD=True, WEBLAB_AUTOPOLL=False, WEBLAB_TIMEOUT=600)
    session_id = lab.start()
    student, quiet = lab.student(session_id), lab.lab.user(session_id)
    wait_until(lambda: quiet.time_without_polling > 0.05, "silence")
    lab.visit(student, poll)
    assert lab.lab.user(session_id).time_without_polling < quiet.time_without_polling


@keeps("logout", "lets the next user in")
def test_logout_frees_the_bench_for_the_next_user(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    session_id = lab.start()
    assert lab.post_start(server={"request.username": "grace"}).status_code == 503
    lab.inside(session_id, logout)
    lab.wait_state(session_id, SessionState.EXPIRED)
    assert lab.post_start(server={"request.username": "grace"}).status_code == 200


@keeps("logout", "RLMS hears of it when it asks next")
def test_rlms_hears_of_a_logout_when_it_asks_next(still: ActingLab) -> None:
    session_id = still.start()
    assert still.status(session_id) > 0
    still.inside(session_id, logout)
    assert still.status(session_id) == -1


@keeps("logout", "WEBLAB_POLL_INTERVAL, 5 by default, says when it asks")
@pytest.mark.parametrize(("options", "seconds"), [({}, 5), ({"WEBLAB_POLL_INTERVAL": 2}, 2)])
def test_rlms_is_told_when_to_ask_again(make: MakeLab, options: dict[str, float], seconds: float) -> None:
    lab = make(WEBLAB_NO_THREAD=True, **options)
    assert lab.status(lab.start()) == seconds
