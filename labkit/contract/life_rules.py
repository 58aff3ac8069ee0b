"""Rules of opening, making safe and closing. Each function is a rule; its docstring says what and why."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from labkit.clock import Deadline
from labkit.contract.hands import Act, NotApplicable, RuleBroken
from labkit.contract.subject import Opening, Subject
from labkit.errors import SafeStateError

OPENINGS = 50
_CYCLES = 8
_SETTLE_SECONDS = 3.0
_LATE_SECONDS = 0.4
_BUSY_SECONDS = 0.1


def opens_again_and_again(subject: Subject) -> None:
    """Opened and closed 50 times it works the last time as the first: hosts reopen for years."""
    for number in range(1, OPENINGS + 1):
        try:
            with subject.opened() as opening:
                if number in (1, OPENINGS):
                    opening.make_safe()
                opening.close()
        except RuleBroken:
            raise
        except Exception as error:
            raise RuleBroken(f"Opening number {number} of {OPENINGS} failed: {_named(error)}") from error


def opens_and_closes_twice_without_harm(subject: Subject) -> None:
    """`open()` of what is open and `close()` of what is closed do nothing: after a failure nobody knows which it is."""
    never = Opening(subject)
    try:
        _must("close() of what was never opened", lambda: never.close())
    finally:
        never.leave()
    with subject.opened() as opening:
        _must("the second open()", opening.open)
        _must("make_safe() after the second open()", opening.make_safe)
        _must("close()", opening.close)
        _must("the second close()", opening.close)


def names_itself_when_it_is_closed(subject: Subject) -> None:
    """A command and `make_safe()` on a closed device raise an error with the device's name: a log line that says
    `'NoneType' object has no attribute 'write'` helps nobody, and writing to what is closed may reach another file."""
    with subject.opened() as opening:
        opening.close()
        faults = [_refusal("make_safe()", opening.hands.begin("make_safe()", opening.driver.make_safe), subject.name)]
        commands = subject.tried if subject.call_commands else ()
        ended = [tried for tried in commands if tried.blocked or tried.error is None]
        faults += [_refusal(f"{tried.name}()", opening.begin(tried), subject.name) for tried in ended]
    named = [fault for fault in faults if fault]
    if named:
        told = "; ".join(named).rstrip(".")
        raise RuleBroken(f"Closed, {told}. Raise DeviceOfflineError with the name, link.name, in its text.")


def _refusal(what: str, act: Act, name: str) -> str:
    """What is wrong with how a closed device refuses; '' for nothing."""
    try:
        act.result()
    except RuleBroken as hung:
        return str(hung)
    except BaseException as error:
        return "" if name in str(error) else f"{what} raised {_named(error)}"
    return f"{what} returned as if all were well"


def can_be_made_safe_in_any_state(subject: Subject) -> None:
    """`make_safe()` works when just opened, a second time, after each command, and after the device was closed without
    it, as by a host that was killed: this is what stands between a student and a motor that runs on."""
    with subject.opened() as opening:
        for when in ("when just opened", "the second time", "the third time"):
            _safe(opening, when)
        for tried in subject.tried:
            if not tried.blocked:
                opening.begin(tried).wait(_SETTLE_SECONDS)
                _safe(opening, f"after {tried.name}()")
    with subject.opened() as opening:
        _safe(opening, "after it was closed as a command had left it")


def is_healthy_when_nothing_is_wrong(subject: Subject) -> None:
    """`health()` of a good device raises nothing: a false alarm takes a good bench out of service."""
    with subject.opened() as opening:
        opening.make_safe()
        for _ in range(2):
            _must("health()", lambda: opening.hands.do("health()", opening.driver.health))
        _must("make_safe() after health()", opening.make_safe)


def is_silent_after_it_is_closed(subject: Subject) -> None:
    """After `close()` nothing is given: late bytes would reach whoever has the device next."""
    with subject.opened() as opening:
        for tried in subject.tried:
            if not tried.blocked:
                opening.begin(tried).wait(_SETTLE_SECONDS)
        opening.close()
        opening.link.wait_for(lambda: bool(opening.link.late), _LATE_SECONDS)
        if opening.link.late:
            raise RuleBroken(f"After close() it gave {len(opening.link.late)} times, of: {_names(opening.link.late)}.")


def gives_what_its_feeds_promise(subject: Subject) -> None:
    """What it gives is of a feed that it has, and of that feed's type: a page would be shown something else."""
    with subject.opened() as opening:
        for tried in subject.tried:
            if not tried.blocked:
                opening.begin(tried).wait(_SETTLE_SECONDS)
        opening.link.wait_for(lambda: bool(opening.link.given or opening.link.wrong), _LATE_SECONDS)
    wrong = [fault for link in subject.links for fault in link.wrong]
    wrong += [f"{tried.name}() raised {_named(tried.error)}" for tried in subject.tried if _is_of_emit(tried.error)]
    if wrong:
        raise RuleBroken("; ".join(dict.fromkeys(wrong)))
    if not any(link.count for link in subject.links):
        raise NotApplicable("It gave nothing while it was tried." if subject.commands else "It has no commands.")


def leaves_nothing_behind(subject: Subject) -> None:
    """Opened, used, interrupted and closed again and again it leaves no descriptor and no thread: a loop runs for
    months, and ends where the numbers run out."""
    threads = set(threading.enumerate())
    _use(subject, 2)  # what is made once and kept, as libraries do, is no leak
    first = _descriptors()
    _use(subject, _CYCLES)
    grown = _wait_for_none(lambda: _descriptors() - first)
    if grown:
        second = _descriptors()
        _use(subject, _CYCLES)
        grown = _wait_for_none(lambda: _descriptors() - second)
    if grown.total() >= _CYCLES // 2:
        raise RuleBroken(f"{_CYCLES} openings left {grown.total()} descriptors open, of: {_names(grown)}.")
    left = _wait_for_none(lambda: {thread for thread in threading.enumerate() if thread not in threads})
    if left:
        raise RuleBroken(
            f"Threads that are still there: {_names(thread.name for thread in left)}. Join them in close()."
        )


def _use(subject: Subject, times: int) -> None:
    blocking = [tried for tried in subject.tried if tried.blocked][:1]
    quick = [tried for tried in subject.tried if not tried.blocked and tried.error is None]
    for _ in range(times):
        with subject.opened() as opening:
            opening.make_safe()
            for tried in quick:
                opening.begin(tried).wait(_SETTLE_SECONDS)
            for tried in blocking:
                act = opening.begin(tried)
                act.wait(_BUSY_SECONDS)
                with contextlib.suppress(RuleBroken):  # that it ends is another rule
                    opening.end(act)


def _descriptors() -> Counter[str]:
    """What this process has open, by its target."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        try:
            found[os.readlink(f"/proc/self/fd/{number}").partition(":[")[0]] += 1
        except OSError:
            continue  # the listing's own
    return found


def _wait_for_none(look: Callable[[], Any]) -> Any:
    """What is left when things had some time to go; nothing, if they go."""
    deadline = Deadline(_SETTLE_SECONDS)
    while (left := look()) and not deadline.over:
        threading.Event().wait(0.05)
    return left


def _safe(opening: Opening, when: str) -> None:
    try:
        opening.make_safe()
    except SafeStateError as error:
        raise RuleBroken(f"make_safe() {when} could not be confirmed: {error}") from error
    except RuleBroken as error:
        raise RuleBroken(f"{when}: {error}") from error
    except Exception as error:
        raise RuleBroken(f"make_safe() {when} raised {_named(error)}") from error


def _must(what: str, work: Callable[[], Any]) -> None:
    try:
        work()
    except RuleBroken:
        raise
    except Exception as error:
        raise RuleBroken(f"{what} raised {_named(error)}") from error


def _is_of_emit(error: BaseException | None) -> bool:
    """Whether an error was raised by `emit`, for the type of what it was given."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if trace.tb_frame.f_code.co_qualname.endswith("BoundFeed.emit"):
            return True
        trace = trace.tb_next
    return False


def _named(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _names(things: Any) -> str:
    return ", ".join(sorted(set(map(str, things))))
