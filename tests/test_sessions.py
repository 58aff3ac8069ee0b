"""The spine: the way of one session from start to end on a real store, with a toy at its far end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labkit import requires_login, sessions, weblab_user
from labkit.context import BoundSession, Purpose
from labkit.errors import BenchUnavailableError, ReservationLostError, WebLabError
from labkit.loop import operation
from labkit.sessions import (
    EndStep,
    StartRequest,
    StartStep,
    carry_out_ending,
    end_overdue_session,
    end_session,
    session_status,
    start_session,
)
from labkit.store.sessions import EndReason, SessionRecord, SessionState
from labkit.users import CurrentUser, ExpiredUser
from tests.small_lab import MakeLab, SmallLab
from tests.toy import GUARD, wait_until

DEAD = "dead:1:aa"


@pytest.fixture
def lab(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> SmallLab:
    """A lab with a toy, its threads not running yet: a test sets its hooks and calls `up()`."""
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", GUARD)  # else a toy that is late for it counts as stuck
    return make(devices=["toy"])


def request(length: float = 600.0, **user: Any) -> StartRequest:
    facts = {"username": "ada", "username_unique": "ada", "client_data": {}, "server_data": {}, **user}
    return StartRequest(slot_start=None, slot_length=length, user=facts)


def toy(lab: SmallLab) -> Any:
    return lab.weblab.devices["toy"]


# -- start


def test_on_start_has_the_device_open_safe_and_its_own(lab: SmallLab) -> None:
    seen: list[Any] = []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
        seen.extend([list(lab.weblab.devices), type(weblab_user._get_current_object()), weblab_user.active])
        toy(lab).write("from on_start")
        return {"n": 1}

    session = start_session(lab.up().lab, request())
    assert seen == [["bench-1/toy"], CurrentUser, False]
    assert lab.state(session) is SessionState.ACTIVE
    assert lab.world.acts == ["open", "safe", "safe", "from on_start"]
    assert lab.lab.user(session).data == {"n": 1}


def test_steps_of_a_start_are_recorded_before_they_are_done(lab: SmallLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.up()
    steps: list[str] = []
    real = lab.lab.sessions.step
    monkeypatch.setattr(lab.lab.sessions, "step", lambda *a: (steps.append(a[3]), real(*a))[1])
    start_session(lab.lab, request())
    assert steps == list(StartStep)


def test_failed_start_gives_its_bench_back(lab: SmallLab) -> None:
    disposed: list[str] = []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        toy(lab).write("half done")
        raise ValueError("no water")

    lab.weblab.on_dispose(lambda: disposed.append(weblab_user.username))
    lab.up()
    with pytest.raises(ValueError, match="no water"):
        start_session(lab.lab, request())
    lab.wait_free()
    assert disposed == ["ada"]
    acts = lab.world.acts
    assert acts[acts.index("half done") :] == ["half done", "safe"]


def test_on_start_that_exits_is_given_up_too(lab: SmallLab) -> None:
    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        raise SystemExit("a library")

    lab.up()
    with pytest.raises(SystemExit):
        start_session(lab.lab, request())
    lab.wait_free()


def test_start_that_took_too_long_fails(make: MakeLab) -> None:
    lab = make(devices=["toy"], LABKIT_START_TIMEOUT=90.0)  # which no busy machine needs to get to on_start
    ids: list[str] = []

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        ids.append(weblab_user.session_id)
        lab.bring_forward(ids[0], "start_until", 90.0)
        lab.wait_state(ids[0], SessionState.EXPIRED)
        with pytest.raises(ReservationLostError):
            toy(lab).write("too late")

    lab.up()
    with pytest.raises(WebLabError, match="ended while it started"):
        start_session(lab.lab, request())
    assert lab.read(ids[0]).reason == "start-failed"
    lab.wait_free()
    assert "too late" not in lab.world.acts


def test_no_free_bench_is_an_error_that_names_it(lab: SmallLab) -> None:
    lab.up()
    start_session(lab.lab, request())
    with pytest.raises(BenchUnavailableError, match="bench-1 is reserved by another session since"):
        start_session(lab.lab, request())


def test_lab_can_acquire_by_hand(make: MakeLab) -> None:
    lab = make(devices=["toy"], LABKIT_ACQUIRE=False)

    @lab.weblab.on_start
    def start(client: dict[str, Any], server: dict[str, Any]) -> None:
        assert list(lab.weblab.devices) == []
        if client.get("want"):
            assert lab.weblab.devices.acquire() == ["bench-1/toy"]
            toy(lab).write("by hand")

    lab.up()
    assert lab.read(start_session(lab.lab, request())).fences == {}
    session = start_session(lab.lab, request(client_data={"want": True}))
    assert list(lab.read(session).fences) == ["bench-1"]
    end_session(lab.lab, session, EndReason.ADMIN, wait=GUARD)
    lab.wait_free()


def test_fifty_starts_at_once_on_three_benches_are_three_sessions(make: MakeLab) -> None:
    lab = make(devices=["toy"], benches=3).up()
    answers: list[Any] = []
    together = threading.Barrier(50)

    def start() -> None:
        together.wait(30)
        try:
            answers.append(start_session(lab.lab, request()))
        except BenchUnavailableError as error:
            answers.append(error)

    threads = [threading.Thread(target=start) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    started = [answer for answer in answers if isinstance(answer, str)]
    assert (len(started), len(answers)) == (3, 50)
    assert {bench for session in started for bench in lab.read(session).fences} == {"bench-1", "bench-2", "bench-3"}
    assert all("reserved by another session" in str(answer) for answer in answers if not isinstance(answer, str))


# -- the end


@pytest.mark.parametrize("reason", list(EndReason))
def test_ending_goes_through_all_steps_in_order(
    lab: SmallLab, monkeypatch: pytest.MonkeyPatch, reason: EndReason
) -> None:
    users: list[Any] = []

    @lab.weblab.on_dispose
    def dispose() -> None:
        users.append((type(weblab_user._get_current_object()), weblab_user.data["n"], weblab_user.end_reason))
        toy(lab).write("from on_dispose")
        weblab_user.data["last"] = "kept"

    lab.weblab.on_start(lambda client, server: {"n": 1})
    lab.up()
    steps: list[str] = []
    real = lab.lab.sessions.step
    monkeypatch.setattr(lab.lab.sessions, "step", lambda *a: (steps.append(a[3]), real(*a))[1])
    session = start_session(lab.lab, request())
    steps.clear()
    assert end_session(lab.lab, session, reason, wait=GUARD) is SessionState.EXPIRED
    assert steps == list(EndStep)
    assert users == [(CurrentUser, 1, reason.value)]
    assert lab.lab.sessions.data(session) == {"n": 1, "last": "kept"}
    assert lab.world.acts[-2:] == ["from on_dispose", "safe"]
    assert isinstance(lab.lab.user(session), ExpiredUser)
    lab.wait_free()


def test_running_call_of_the_user_is_over_before_on_dispose_acts(lab: SmallLab) -> None:
    @lab.weblab.on_dispose
    def dispose() -> None:
        toy(lab).write("from on_dispose")

    lab.up()
    session = start_session(lab.lab, request())
    errors: list[str] = []

    def drive() -> None:
        bound = BoundSession(session_id=session, purpose=Purpose.REQUEST, fences=lab.read(session).fences)
        with lab.lab.entered(bound):
            try:
                toy(lab).within(30).block()
            except WebLabError as error:
                errors.append(type(error).__name__)

    thread = threading.Thread(target=drive)
    thread.start()
    wait_until(lambda: "blocks" in lab.world.acts, "the call")
    end_session(lab.lab, session, EndReason.ADMIN, wait=GUARD)
    thread.join(GUARD)
    assert errors == ["ReservationLostError"]
    assert lab.world.acts.index("interrupt") < lab.world.acts.index("from on_dispose")


@pytest.mark.parametrize("how", ["raises", "exits", "unstorable"])
def test_failing_on_dispose_never_stops_the_release(lab: SmallLab, caplog: pytest.LogCaptureFixture, how: str) -> None:
    @lab.weblab.on_dispose
    def dispose() -> None:
        if how == "raises":
            raise RuntimeError("pump stuck")
        if how == "exits":
            raise SystemExit("pump stuck")
        weblab_user.data["x"] = object()

    lab.up()
    session = start_session(lab.lab, request())
    assert end_session(lab.lab, session, EndReason.ADMIN, wait=GUARD) is SessionState.EXPIRED
    lab.wait_free()
    assert "pump stuck" in caplog.text or "was not stored" in caplog.text
    assert session not in "".join(record.getMessage() for record in caplog.records)


def test_hanging_on_dispose_is_left_behind(make: MakeLab, caplog: pytest.LogCaptureFixture) -> None:
    lab, gate = make(devices=["toy"], LABKIT_DISPOSE_TIMEOUT=0.2), threading.Event()
    late: list[str] = []

    @lab.weblab.on_dispose
    def dispose() -> None:
        assert gate.wait(GUARD)
        try:
            toy(lab).write("late")
        except WebLabError as error:
            late.append(type(error).__name__)

    lab.up()
    session = start_session(lab.lab, request())
    assert end_session(lab.lab, session, EndReason.ADMIN, wait=GUARD) is SessionState.EXPIRED
    lab.wait_free()
    assert "on_dispose hangs" in caplog.text
    gate.set()
    wait_until(lambda: late, "its late word")
    assert late == ["ReservationLostError"]
    assert "late" not in lab.world.acts


def test_device_that_hangs_is_kept_out_and_the_session_ends(make: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "INTERRUPT_SECONDS", 0.1)
    lab = make(devices=["toy"], LABKIT_RELEASE_TIMEOUT=0.5).up()
    session = start_session(lab.lab, request())
    lab.world.hold("make_safe")
    assert end_session(lab.lab, session, EndReason.ADMIN, wait=GUARD) is SessionState.EXPIRED
    with pytest.raises(BenchUnavailableError):
        start_session(lab.lab, request())
    lab.world.gates["make_safe"].set()
    lab.wait_free()


def test_second_end_is_answered_with_where_it_stands(lab: SmallLab) -> None:
    gate = threading.Event()
    lab.weblab.on_dispose(lambda: gate.wait(GUARD) and None)
    lab.up()
    session = start_session(lab.lab, request())
    for _ in range(3):
        assert end_session(lab.lab, session, EndReason.DISPOSED, wait=0.05) is SessionState.ENDING
    gate.set()
    assert end_session(lab.lab, session, EndReason.DISPOSED, wait=GUARD) is SessionState.EXPIRED
    assert end_session(lab.lab, "nobody", EndReason.DISPOSED) is SessionState.UNKNOWN


def test_session_that_is_not_due_is_not_ended(lab: SmallLab) -> None:
    lab.up()
    session = start_session(lab.lab, request())
    assert not end_overdue_session(lab.lab, session)
    assert not end_overdue_session(lab.lab, "nobody")
    assert lab.state(session) is SessionState.ACTIVE
    assert session_status(lab.lab, session) == 5.0


# -- an ending that is taken over


@pytest.mark.parametrize("step", list(EndStep))
def test_ending_goes_on_at_the_step_at_which_its_process_died(make: MakeLab, step: EndStep) -> None:
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False, devices=["toy"])
    ran: list[str] = []
    lab.weblab.on_dispose(lambda: ran.append("on_dispose"))
    lab.up()
    session = start_session(lab.lab, request())
    old = die_at(lab, session, step)
    assert carry_out_ending(lab.lab, session)
    assert lab.state(session) is SessionState.EXPIRED
    assert ran == (["on_dispose"] if step in (EndStep.TASKS, EndStep.DISPOSE) else [])
    lab.wait_free() if step is not EndStep.FINISH else None
    assert not lab.lab.sessions.step(session, DEAD, old, step)
    assert not lab.lab.sessions.finish(session, DEAD, old, 60)


def die_at(lab: SmallLab, session: str, step: EndStep) -> int:
    """Have another process claim the ending, come to a step, and die. Returns its fence."""
    lab.lab.sessions.end(session, EndReason.ADMIN)
    lab.lab.processes.beat(DEAD, first=True, roles="", highest_fence=0, benches={})
    claimed = lab.lab.sessions.claim_ending(session, DEAD, 60.0)
    assert isinstance(claimed, SessionRecord)
    fence = int(claimed.fields["fence"])
    assert lab.lab.sessions.step(session, DEAD, fence, step)
    lab.lab.store.command("ZREM", lab.lab.store.keys["processes"], DEAD)
    return fence


@pytest.mark.parametrize("step", list(EndStep))
def test_paused_winner_wakes_up_to_nothing(make: MakeLab, monkeypatch: pytest.MonkeyPatch, step: EndStep) -> None:
    """It stands still before each step in turn; meanwhile another process finishes the ending."""
    lab = make(WEBLAB_AUTOCLEAN_THREAD=False)
    ran: list[str] = []
    lab.weblab.on_dispose(lambda: ran.append("on_dispose"))
    lab.up()
    session = start_session(lab.lab, request())
    lab.lab.sessions.end(session, EndReason.ADMIN)
    real = lab.lab.sessions.step

    def paused(session_id: str, owner: str, fence: int | None, at: str) -> bool:
        if at == step:
            lab.lab.store.command("HSET", lab.lab.store.keys.of("session", session_id), "claim_until", "1")
            lab.lab.processes.beat("other:2:bb", first=True, roles="", highest_fence=0, benches={})
            claimed = lab.lab.sessions.claim_ending(session_id, "other:2:bb", 60.0)
            assert isinstance(claimed, SessionRecord)
            assert lab.lab.sessions.finish(session_id, "other:2:bb", int(claimed.fields["fence"]), 60)
        return real(session_id, owner, fence, at)

    monkeypatch.setattr(lab.lab.sessions, "step", paused)
    assert not carry_out_ending(lab.lab, session)
    assert ran == (["on_dispose"] if step in (EndStep.RELEASE, EndStep.FINISH) else [])
    assert lab.state(session) is SessionState.EXPIRED


def test_ending_runs_once_in_a_process(lab: SmallLab, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate = threading.Event(), threading.Event()
    ran: list[int] = []

    @lab.weblab.on_dispose
    def dispose() -> None:
        ran.append(1)
        begun.set()
        assert gate.wait(GUARD)

    lab.up()
    session = start_session(lab.lab, request())
    lab.lab.sessions.end(session, EndReason.ADMIN)
    assert begun.wait(GUARD)
    assert not carry_out_ending(lab.lab, session)
    gate.set()
    lab.wait_state(session, SessionState.EXPIRED)
    assert ran == [1]


# -- the whole way once more, through the web


def test_next_student_enters_after_the_first_ones_time(make: MakeLab) -> None:
    lab = make(devices=["toy"])
    lab.view("/write", requires_login(lambda: str(toy(lab).write("x"))))
    lab.up()
    first = lab.start(length=600)
    student = lab.student(first)
    assert student.get("/write").text == "x"
    assert lab.post_start().status_code == 503
    lab.bring_forward(first, "max_date", 600.0)
    lab.wait_state(first, SessionState.EXPIRED)
    wait_until(lambda: lab.is_free("bench-1"), "the bench")
    second = lab.start()
    lab.app.config["PROPAGATE_EXCEPTIONS"] = False
    assert student.get("/write").status_code == 500
    assert lab.student(second).get("/write").text == "x"
    assert sessions.session_status(lab.lab, first) == -1
