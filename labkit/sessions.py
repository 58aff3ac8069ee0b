"""The spine: the way of one session from start to end, each function as its list of steps.

Used by web (what the RLMS asks), by the loop (what is overdue) and by commands. Here is what happens in which
order; how each step is one change is in `store/`.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from labkit.clock import Deadline
from labkit.context import BoundSession, Purpose
from labkit.devices.reservation import ANY, explain
from labkit.devices.wish import Wish, never_fits
from labkit.errors import (
    BadRequestError,
    BenchUnavailableError,
    InvalidConfigError,
    NotStorableError,
    SessionLostError,
    StoreUnavailableError,
)
from labkit.lab import Lab
from labkit.lifecycle import write_lifecycle
from labkit.log_text import hashed
from labkit.plugin import SessionEvent
from labkit.store.connection import Entry
from labkit.store.sessions import EndReason, NewSession, SessionRecord, SessionState
from labkit.threads import LabThread
from labkit.users import get_weblab_user, remember, user_of

log = logging.getLogger("labkit.sessions")

DISPOSE_WAIT = 2.0
"""Seconds that a dispose of the RLMS waits for the ending (rlms.md: it must not hold the request)."""
ASK_AGAIN = 2.0
MOST_CLAIMS = 5
"""Claims of an ending whose `on_dispose` has begun, after which it goes on without: it may be what ends its process."""


class StartStep(StrEnum):
    """How far a start has come."""

    READY = "ready"
    ON_START = "on-start"
    ACTIVATE = "activate"


class EndStep(StrEnum):
    """How far an ending has come; whoever takes it over goes on at the recorded one."""

    TASKS = "tasks"
    DISPOSE = "dispose"
    RELEASE = "release"
    FINISH = "finish"


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """What an RLMS asks for. slot_start: UTC seconds since 1970, None: now. slot_length: seconds."""

    slot_start: float | None
    slot_length: float
    user: Mapping[str, Any]
    """What is kept of the user: username, back, client_data, server_data and so on (see `users.SessionUser`)."""


class StartFailedError(SessionLostError):
    """A session could not be started; the message is for the RLMS and names no secret."""


# -- start


def start_session(lab: Lab, request: StartRequest) -> str:
    """Start a session: write it and reserve a bench, make the bench ready, run `on_start`, make it active.

    Blocks as long as `on_start` does, at most LABKIT_START_TIMEOUT. Returns the session's id. All or nothing: where
    it fails the session ends with reason `start-failed`, its devices are released.
    Errors: `BenchUnavailableError`, `BadRequestError`, `StartFailedError`, `StoreUnavailableError`.
    """
    if not lab.app.secret_key:
        raise InvalidConfigError("The lab's app has no SECRET_KEY, so no browser could come in. Set one in its config.")
    lab.process.start()
    bound = BoundSession(session_id=secrets.token_urlsafe(32), purpose=Purpose.START, owner=lab.process.id)
    try:
        wish = lab.wish(request.user)
        _write_session(lab, bound, request, wish)
        _step_start(lab, bound, StartStep.READY)
        _make_bench_ready(lab, bound, wish or ANY)
        _step_start(lab, bound, StartStep.ON_START)
        _run_on_start(lab, bound, request)
        _step_start(lab, bound, StartStep.ACTIVATE)
        _activate(lab, bound)
    except BaseException as error:
        _give_up_start(lab, bound, error)
        raise
    log.info("session started session=%s benches=%s", hashed(bound.session_id), ",".join(bound.fences) or "-")
    _announce(lab, bound, request.user)
    return bound.session_id


def _write_session(lab: Lab, bound: BoundSession, request: StartRequest, wish: Wish | None) -> None:
    settings = lab.settings
    new = NewSession(
        session_id=bound.session_id,
        user=request.user,
        slot_start=request.slot_start,
        slot_length=request.slot_length,
        timeout=settings.timeout,
        start_timeout=settings.start_timeout,
        bench="-" if wish is None else wish.bench,
        features=() if wish is None else wish.features,
    )
    started = lab.sessions.start(new, bound.owner)
    if isinstance(started, list):
        if wish is not None and lab.hooks.reserve is not None and not started:
            raise never_fits(wish, lab.reservations.benches())
        raise BenchUnavailableError(explain(started, wish or ANY))
    if started.bench:
        bound.fences[started.bench] = started.fence


def _step_start(lab: Lab, bound: BoundSession, step: StartStep) -> None:
    if not lab.sessions.step(bound.session_id, bound.owner, None, step):
        raise StartFailedError(
            "The session was ended while it started: its start took too long, or its process was taken for dead."
        )


def _make_bench_ready(lab: Lab, bound: BoundSession, wish: Wish) -> None:
    """Open, make safe and read back the reserved bench; one that can't is left out, and the next free one taken."""
    for bench, fence in list(bound.fences.items()):
        failure = lab.bench_reservation.make_ready(bench, fence)
        if failure is not None:
            lab.bench_reservation.release(bound, bench)
            try:
                lab.bench_reservation.acquire(bound, bench=wish.bench, features=wish.features, excluded=[bench])
            except BenchUnavailableError as error:
                raise BenchUnavailableError(f"{bench} could not be made ready: {failure} {error}") from error


def _run_on_start(lab: Lab, bound: BoundSession, request: StartRequest) -> None:
    if lab.hooks.on_start is None:
        return
    with lab.entered(bound):
        user = get_weblab_user()
        data = lab.hooks.on_start(dict(request.user["client_data"]), dict(request.user["server_data"]))
        if data is not None and not user.is_anonymous:
            user.data = data
        lab.save_user_data()


def _activate(lab: Lab, bound: BoundSession) -> None:
    if lab.sessions.activate(bound.session_id, bound.owner) != "active":
        raise StartFailedError("The session was ended while it started.")


def _give_up_start(lab: Lab, bound: BoundSession, error: BaseException) -> None:
    if isinstance(error, (BenchUnavailableError, BadRequestError)):
        log.info("session refused error=%s", error)
    else:
        log.warning("session start failed session=%s error=%s", hashed(bound.session_id), error, exc_info=error)
    try:
        if _end_start(lab, bound, str(error)) or not (isinstance(error, StoreUnavailableError) and error.sent):
            return
    except StoreUnavailableError:
        pass
    LabThread(f"give-up:{hashed(bound.session_id)}", lambda stopping: _give_up_later(lab, bound, stopping)).start()


def _end_start(lab: Lab, bound: BoundSession, detail: str) -> bool:
    """Ask for the end of a start. False: the store does not know it, at least not yet."""
    word, _ = lab.sessions.end(bound.session_id, EndReason.START_FAILED, owner=bound.owner, detail=detail)
    if word in ("begun", "ending"):
        see_to_ending(lab, bound.session_id)
    return word != "unknown"


def _give_up_later(lab: Lab, bound: BoundSession, stopping: threading.Event) -> None:
    """The store was away: whether it has the session, or will have it, is not known, so its end is asked for until it
    knows it. What was sent to it over one connection may come there after what was sent over the next one."""
    deadline = Deadline(lab.settings.start_timeout)  # after that it is overdue, and the reaper's
    settled = False
    while not settled and not deadline.over and not stopping.wait(1.0):
        with contextlib.suppress(StoreUnavailableError):
            settled = _end_start(lab, bound, "the store went away while it started")


# -- status


def session_status(lab: Lab, session_id: str) -> float:
    """What an RLMS is told as `should_finish`: below 0 finished, above 0 ask again in so many seconds. Ends nothing."""
    record = lab.sessions.touch(session_id, poll=False)
    if record.state is SessionState.ENDING and record.disposing:
        return ASK_AGAIN
    if record.state not in (SessionState.STARTING, SessionState.ACTIVE):
        if record.state is not SessionState.UNKNOWN and record.reason != EndReason.DISPOSED:
            write_lifecycle(lab, record, "expiry_detected", "status_time")
        return -1
    return min(lab.settings.poll_interval, max(record.time_left, 0.1))


# -- end


def end_session(lab: Lab, session_id: str, reason: EndReason, *, wait: float = DISPOSE_WAIT) -> SessionState:
    """End a session, or see how far its ending is. The user is out at once.

    Blocks until it is done, at most `wait` seconds; it goes on by itself. Twice is normal.
    Returns UNKNOWN, EXPIRED (done), ENDING, or STARTING (it ends when `on_start` is over).
    """
    before = lab.sessions.touch(session_id, poll=False)
    word, _ = lab.sessions.end(session_id, reason)
    if word == "begun" and reason is EndReason.DISPOSED:
        write_lifecycle(lab, before, "disposed", "dispose_user")
    if word in ("begun", "ending"):
        see_to_ending(lab, session_id)
    return _wait_for_end(lab, session_id, wait)


def see_to_ending(lab: Lab, session_id: str) -> None:
    """Have somebody carry out an ending: a loop, or this process's own threads where no loop beats."""
    if not lab.processes.with_role("endings"):
        lab.process.start()
        LabThread(f"ending:{hashed(session_id)}", lambda _: _carry_out_safely(lab, session_id)).start()


def _carry_out_safely(lab: Lab, session_id: str) -> None:
    try:
        carry_out_ending(lab, session_id)
    except Exception:
        log.exception("ending stopped; the next one to look goes on with it session=%s", hashed(session_id))


def _wait_for_end(lab: Lab, session_id: str, seconds: float) -> SessionState:
    deadline = Deadline(seconds)
    position = "0-0"
    while True:
        record = lab.sessions.touch(session_id, poll=False)
        if record.state in (SessionState.EXPIRED, SessionState.UNKNOWN) or deadline.over:
            return record.state
        position = _last(lab.sessions.events(session_id, position, deadline.left()), position)


def _last(events: Sequence[Entry], position: str) -> str:
    return events[-1][0] if events else position


def end_overdue_session(lab: Lab, session_id: str) -> bool:
    """End a session if it is due, and carry its ending out. Blocks for as long as that takes. False: nothing to do."""
    word, reason = lab.sessions.end(session_id, None)
    if word == "begun":
        log.info("session ended session=%s reason=%s", hashed(session_id), reason)
    return word in ("begun", "ending") and carry_out_ending(lab, session_id)


def carry_out_ending(lab: Lab, session_id: str) -> bool:
    """Claim an ending that nobody alive is at, and go on at its recorded step to the end.

    Blocks at most for the sum of the steps' limits. Returns False where somebody else is at it, or took it over.
    """
    lab.process.start()
    with lab.only_once(session_id) as first:
        return first and _carry_out(lab, session_id, lab.process.id)


def _carry_out(lab: Lab, session_id: str, owner: str) -> bool:
    claimed = lab.sessions.claim_ending(session_id, owner, _longest(lab))
    if isinstance(claimed, str):
        return False
    fence = int(claimed.fields["fence"])
    bound = BoundSession(
        session_id=session_id, purpose=Purpose.ENDING, fences=dict.fromkeys(claimed.fences, fence), owner=owner
    )
    steps: Mapping[EndStep, Callable[[], None]] = {
        EndStep.TASKS: lambda: _stop_tasks(lab, session_id),
        EndStep.DISPOSE: lambda: _run_on_dispose(lab, bound, claimed),
        EndStep.RELEASE: lambda: _release_devices(lab, bound, fence),
        EndStep.FINISH: lambda: _finish(lab, bound, claimed),
    }
    names = list(EndStep)
    for step in names[names.index(EndStep(claimed.step or EndStep.TASKS)) :]:
        if not lab.sessions.step(session_id, owner, fence, step):
            log.info("ending was taken over session=%s step=%s", hashed(session_id), step)
            return False
        steps[step]()
    return True


def _longest(lab: Lab) -> float:
    settings = lab.settings
    return settings.task_stop + 2 * settings.dispose_timeout + 2 * settings.release_timeout + 30.0


def _stop_tasks(lab: Lab, session_id: str) -> None:
    """Step 10: tasks are asked to stop, and waited for, but not for long. Their device calls fail already."""
    store = lab.task_services.store
    left = store.wait_unfinished(session_id, store.stop_all(session_id), lab.settings.task_stop)
    for task in left:
        log.error("task ignored its stop session=%s task=%s", hashed(session_id), hashed(task))


def _run_on_dispose(lab: Lab, bound: BoundSession, record: SessionRecord) -> None:
    """Step 11: `on_dispose`, which still has the devices, and the tasks that it submits. Its failure stops nothing."""
    if lab.hooks.on_dispose is None:
        return
    if record.step == EndStep.DISPOSE and record.number("claims") >= MOST_CLAIMS:
        log.error("on_dispose was left out: no process has come to its end session=%s", hashed(bound.session_id))
        return
    _wait_for_devices(lab, bound)
    deadline = Deadline(lab.settings.dispose_timeout)
    thread = LabThread(f"on_dispose:{hashed(bound.session_id)}", lambda _: _on_dispose(lab, bound, record))
    thread.start()
    thread.join(deadline.left())
    if thread.is_alive():
        log.error(
            "on_dispose hangs and was left behind session=%s seconds=%.0f",
            hashed(bound.session_id),
            lab.settings.dispose_timeout,
        )
        return
    store = lab.task_services.store
    if not lab.processes.with_role("tasks"):
        runner = LabThread(f"tasks-of:{hashed(bound.session_id)}", lambda _: lab.tasks.run_urgent())
        runner.start()
        runner.join(deadline.left())
    submitted = store.unfinished(bound.session_id, purpose=Purpose.ENDING)
    left = store.wait_unfinished(bound.session_id, submitted, deadline.left())
    if left:
        log.error("tasks of on_dispose did not end session=%s count=%d", hashed(bound.session_id), len(left))


def _wait_for_devices(lab: Lab, bound: BoundSession) -> None:
    """After a restart the new host is just opening the devices; `on_dispose` is to find them open."""
    deadline = Deadline(lab.settings.release_timeout)
    while not deadline.over and lab.processes.with_role("host"):
        position = lab.processes.changes_position()
        benches = [view for view in lab.reservations.benches() if view.name in bound.fences]
        if all(view.host and not any(device.being_opened for device in view.devices) for view in benches):
            return
        lab.processes.wait_for_changes(position, min(0.5, deadline.left()))


def _on_dispose(lab: Lab, bound: BoundSession, record: SessionRecord) -> None:
    try:
        with lab.entered(bound):
            remember(user_of(lab, record, ending=True))
            if lab.hooks.on_dispose is not None:
                lab.hooks.on_dispose()
            lab.save_user_data()
    except NotStorableError as error:
        log.error("data of on_dispose was not stored session=%s error=%s", hashed(bound.session_id), error)
    except BaseException:
        log.exception("on_dispose failed session=%s", hashed(bound.session_id))


def _release_devices(lab: Lab, bound: BoundSession, fence: int) -> None:
    """Step 12: force release. Their hosts make the devices safe; one that is not safe in time stays out of the pool."""
    if lab.reservations.release(bound.session_id, "", fence) is None:
        raise SessionLostError("The ending was taken over.")
    deadline = Deadline(lab.settings.release_timeout + 3.0)
    position = "0-0"
    while left := lab.reservations.left(bound.session_id):
        if deadline.over:
            for device, beating in left.items():
                why = "was not made safe in time" if beating else "has no host"
                log.error("device stays out of the pool device=%s reason=%s", device, why)
            return
        position = _last(lab.sessions.events(bound.session_id, position, min(1.0, deadline.left())), position)


def _finish(lab: Lab, bound: BoundSession, record: SessionRecord) -> None:
    """Step 13: done; the session stays readable for a while."""
    fence = int(record.fields["fence"])
    if lab.sessions.finish(bound.session_id, bound.owner, fence, lab.settings.expired_users_timeout):
        log.info("session finished session=%s", hashed(bound.session_id))
        _announce(lab, bound, record.user, reason=record.reason)


def _announce(lab: Lab, bound: BoundSession, user: Mapping[str, Any], *, reason: str = "") -> None:
    """Have plugins hear that the session has started, or for which reason it has ended."""
    lab.announce(
        SessionEvent(
            at=lab.clock.now(),
            session=hashed(bound.session_id),
            username=str(user.get("username", "")),
            benches=tuple(bound.fences),
            reason=reason,
        )
    )
