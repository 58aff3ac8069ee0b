"""The reaper: ends what is due, buries who is gone, each on its own thread, as soon as a beat says so."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from labkit import weblab_user
from labkit.loop import reaper as reaper_module
from labkit.loop.reaper import Reaper
from labkit.sessions import MOST_CLAIMS
from labkit.store.processes import BeatNews, HoldNews
from labkit.store.sessions import SessionState
from tests.small_lab import MakeLab, SmallLab
from tests.toy import NoThread, wait_until


def news(**facts: Any) -> BeatNews:
    quiet = {"now": 0.0, "went_back": False, "queued_tasks": 0, "due": [], "gone": [], "benches": {}, "holds": {}}
    return BeatNews(**{**quiet, **facts})


@pytest.mark.parametrize(("how", "reason"), [("time", "time"), ("silence", "inactivity"), ("logout", "logout")])
def test_session_that_is_over_is_ended(make: MakeLab, how: str, reason: str) -> None:
    lab, seen = make(WEBLAB_TIMEOUT=0.2 if how == "silence" else 0), []
    lab.weblab.on_dispose(lambda: seen.append(weblab_user.username))
    lab.up()
    session = lab.start(length=0.2 if how == "time" else 60)
    if how == "logout":
        lab.lab.sessions.exit(session)
    lab.wait_state(session, SessionState.EXPIRED)
    assert (lab.read(session).reason, seen) == (reason, ["ada"])


def test_slow_ending_delays_no_other(make: MakeLab) -> None:
    lab, gate = make(), threading.Event()

    @lab.weblab.on_dispose
    def dispose() -> None:
        if weblab_user.username == "slow":
            assert gate.wait(30)

    lab.up()
    slow = lab.start(server={"request.username": "slow"})
    lab.lab.sessions.exit(slow)
    lab.wait_state(slow, SessionState.ENDING)
    quick = lab.start()
    lab.lab.sessions.exit(quick)
    lab.wait_state(quick, SessionState.EXPIRED)
    assert lab.state(slow) is SessionState.ENDING
    gate.set()
    lab.wait_state(slow, SessionState.EXPIRED)


def test_ending_that_its_process_left_is_finished(make: MakeLab) -> None:
    """A process claimed it, came to a step, and died."""
    lab = make()
    calls: list[str] = []
    lab.weblab.on_dispose(lambda: calls.append("dispose"))
    session = make_dead_owner(lab)
    lab.up()
    lab.wait_state(session, SessionState.EXPIRED)
    assert calls == []  # the recorded step was past it


@pytest.mark.parametrize(("deaths", "runs"), [(MOST_CLAIMS - 1, True), (MOST_CLAIMS, False)])
def test_on_dispose_that_ends_each_process_is_left_out_in_the_end(
    make: MakeLab, caplog: pytest.LogCaptureFixture, deaths: int, runs: bool
) -> None:
    lab, calls = make(), list[str]()
    lab.weblab.on_dispose(lambda: calls.append("dispose"))
    session = make_dead_owner(lab, step="dispose", deaths=deaths)
    lab.up()
    lab.wait_state(session, SessionState.EXPIRED)
    assert calls == ["dispose"] * runs
    assert ("on_dispose was left out" in caplog.text) is not runs


def make_dead_owner(lab: SmallLab, step: str = "release", deaths: int = 1) -> str:
    from labkit.store.sessions import EndReason, SessionRecord

    session, store = start_by_hand(lab), lab.lab.store
    lab.lab.sessions.end(session, EndReason.DISPOSED)
    for _ in range(deaths):
        lab.lab.processes.beat("dead:1:aa", first=True, roles="", highest_fence=0, benches={})
        claimed = lab.lab.sessions.claim_ending(session, "dead:1:aa", 60.0)
        assert isinstance(claimed, SessionRecord)
        assert lab.lab.sessions.step(session, "dead:1:aa", int(claimed.fields["fence"]), step)
        store.command("ZADD", store.keys["processes"], 1000, "dead:1:aa")
    return session


def start_by_hand(lab: SmallLab) -> str:
    from labkit.store.sessions import NewSession, Started

    new = NewSession(
        session_id="by-hand",
        user={"username": "ada"},
        slot_start=None,
        slot_length=60,
        timeout=0,
        start_timeout=60,
        bench="-",
    )
    assert isinstance(lab.lab.sessions.start(new, "starter"), Started)
    assert lab.lab.sessions.activate("by-hand", "starter") == "active"
    return "by-hand"


def test_start_of_a_dead_process_is_ended(make: MakeLab) -> None:
    from labkit.store.sessions import NewSession, Started

    lab = make().up()
    new = NewSession(
        session_id="lost", user={}, slot_start=None, slot_length=60, timeout=0, start_timeout=0.1, bench="-"
    )
    assert isinstance(lab.lab.sessions.start(new, "dead:1:aa"), Started)
    lab.wait_state("lost", SessionState.EXPIRED)
    assert lab.read("lost").reason == "start-failed"


def test_gone_process_is_buried(make: MakeLab) -> None:
    lab = make().up()
    store = lab.lab.store
    store.command("ZADD", store.keys["processes"], 1000, "dead:1:aa")
    wait_until(lambda: store.command("ZSCORE", store.keys["processes"], "dead:1:aa") is None, "the burial")


def test_store_that_went_back_ends_the_sessions_of_before(make: MakeLab) -> None:
    lab = make(devices=["toy"]).up()
    session = lab.start()
    fence = next(iter(lab.read(session).fences.values()))
    store = lab.lab.store
    wait_until(lambda: lab.lab.process.highest_fence >= fence, "the beat's knowledge of the fence")
    store.command("HSET", store.keys["lab"], "fence", fence - 10_000_000)
    lab.wait_state(session, SessionState.EXPIRED)
    assert lab.read(session).reason == "lost"
    lab.wait_free()


def shown(session: str, fence: int, **facts: Any) -> BeatNews:
    return news(holds={"bench-1/toy": HoldNews(state="reserved", fence=fence, session=session)}, **facts)


def test_session_that_is_shown_again_is_ended_and_said_once(make: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    session, reaper = start_by_hand(lab), Reaper(lab.lab)
    with caplog.at_level(logging.WARNING):
        for fence in (9, 5, 5, 5):
            reaper._hear(shown(session, fence))
            wait_until(lambda: reaper.endings == 0, "the end of its thread")
    assert (lab.state(session), lab.read(session).reason) == (SessionState.ENDING, "lost")
    assert [record.getMessage().partition(" session=")[0] for record in caplog.records] == [
        "session ended, for the store went back"
    ]


def test_ending_that_is_shown_again_with_each_beat_goes_on(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store went back to where an ending had just been left behind, under an earlier fence."""
    lab, gate, begun = make(WEBLAB_AUTOCLEAN_THREAD=False), threading.Event(), list[str]()
    monkeypatch.setattr(reaper_module, "end_overdue_session", lambda _, session: begun.append(session))
    monkeypatch.setattr(lab.lab.sessions, "end", lambda *_: gate.wait(30) and ("ending", "lost"))
    reaper = Reaper(lab.lab)
    reaper._hear(shown("left-behind", 9))
    reaper._hear(shown("left-behind", 5, due=["left-behind"]))
    wait_until(lambda: begun == ["left-behind"], "the ending")
    gate.set()
    wait_until(lambda: reaper.endings == 0, "the end of its threads")


def test_ending_for_which_no_thread_can_be_had_is_begun_with_a_later_beat(
    make: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, begun = make(WEBLAB_AUTOCLEAN_THREAD=False), list[str]()
    monkeypatch.setattr(reaper_module, "end_overdue_session", lambda _, session: begun.append(session))
    reaper = Reaper(lab.lab)
    with monkeypatch.context() as crowded:
        crowded.setattr(reaper_module, "LabThread", NoThread)
        with pytest.raises(RuntimeError):
            reaper._hear(news(due=["a"]))
    reaper._hear(news(due=["a"]))
    wait_until(lambda: begun == ["a"], "the ending")
    wait_until(lambda: reaper.endings == 0, "its end")


def test_reaper_takes_a_session_on_once_and_not_too_many(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    gate, begun = threading.Event(), []
    monkeypatch.setattr(reaper_module, "end_overdue_session", lambda _, session: begun.append(session) or gate.wait(30))
    monkeypatch.setattr(reaper_module, "MOST_ENDINGS", 3)
    reaper = Reaper(lab.lab)
    for _ in range(3):
        reaper._hear(news(due=["a", "b", "c", "d"]))
    wait_until(lambda: len(begun) == 3, "the endings")
    assert (sorted(begun), reaper.endings) == (["a", "b", "c"], 3)
    gate.set()
    wait_until(lambda: reaper.endings == 0, "their end")
    reaper._hear(news(due=["d"]))
    wait_until(lambda: "d" in begun, "the next")
    wait_until(lambda: reaper.endings == 0, "its end")


def test_failing_ending_is_tried_again_and_hurts_nobody(
    make: MakeLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab, tries = make(WEBLAB_AUTOCLEAN_THREAD=False), []

    def fails(_: Any, session: str) -> None:
        tries.append(session)
        raise RuntimeError("broken")

    monkeypatch.setattr(reaper_module, "end_overdue_session", fails)
    reaper = Reaper(lab.lab)
    with caplog.at_level(logging.ERROR):
        for count in (1, 2):
            reaper._hear(news(due=["secret-id"]))
            wait_until(lambda count=count: len(tries) == count and reaper.endings == 0, "the try")  # type: ignore[misc]
    assert "broken" in caplog.text
    assert "secret-id" not in "".join(record.getMessage() for record in caplog.records)


def test_stopped_reaper_takes_nothing_on(make: MakeLab) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    lab.lab.process.start()
    reaper = Reaper(lab.lab)
    reaper.start()
    reaper.start()
    wait_until(lambda: lab.lab.processes.with_role("endings"), "the role")
    reaper.stop()
    reaper.stop()
    lab.lab.process.nudge()
    wait_until(lambda: not lab.lab.processes.with_role("endings"), "the role to go")
