"""Rules of a device that misbehaves: they need a twin, or a test that can bring the fault about. Each function is a
rule; its docstring says what and why."""

from __future__ import annotations

import contextlib
import threading

from labkit.clock import Deadline
from labkit.contract.command_rules import UNFINISHED
from labkit.contract.hands import Act, RuleBroken
from labkit.contract.subject import Opening, Subject, Tried
from labkit.errors import DeviceOfflineError, SafeStateError, WebLabError

NOTICED_SECONDS = 10.0
"""Seconds within which a driver has to see that its device has gone, when somebody uses it."""
_SLOW_SECONDS = 10.0
_NOISE_SECONDS = 0.3
_SAFE_TRIES = 3


def can_be_ended_when_the_device_hangs(subject: Subject) -> None:
    """The device answers nothing any more: a command and `make_safe()` end by themselves or by `interrupt()`, `close()`
    ends too, and when the device is well again so is the driver."""
    with subject.opened() as opening, subject.under("hang"):
        for tried in subject.tried:
            _end(opening, opening.begin(tried))
        _end(opening, opening.hands.begin("make_safe()", opening.driver.make_safe))
        _closes(opening)
    subject.open_again()


def survives_noise(subject: Subject) -> None:
    """What the device says is noise: commands may fail, but no thread of the driver dies, and when the noise is over it
    can be made safe without being opened anew, or has said that the device was lost."""
    before = set(threading.enumerate())
    with subject.opened() as opening:
        own = set(threading.enumerate()) - before - {opening.hands.thread}
        with subject.under("garbage"):
            for tried in subject.tried:
                _sensible(tried, _end(opening, opening.begin(tried)))
            opening.link.wait_for(lambda: bool(opening.link.losses), _NOISE_SECONDS)
        if opening.link.losses:
            return subject.open_again()
        dead = sorted(thread.name for thread in own if thread.ident is not None and not thread.is_alive())
        if dead:
            raise RuleBroken(f"Noise ended its threads: {', '.join(dead)}.")
        _recovers(opening, "noise")
    return None


def bears_a_slow_device(subject: Subject) -> None:
    """All takes its time: commands end by themselves or by `interrupt()`, and nothing needs repair afterwards."""
    with subject.opened() as opening:
        with subject.under("slow"):
            for tried in subject.tried:
                act = opening.begin(tried)
                act.wait(0 if tried.blocked else _SLOW_SECONDS)
                _sensible(tried, _end(opening, act))
        _recovers(opening, "slowness")


def notices_that_it_was_unplugged(subject: Subject) -> None:
    """The device goes while it is in use: `link.lost` is called or a command raises DeviceOfflineError, `close()`
    raises nothing, opening raises DeviceOfflineError until the device is back, and then it works: the session goes
    on."""
    with subject.opened() as opening:
        waiting = [opening.begin(tried) for tried in subject.tried if tried.blocked][:1]
        for act in waiting:
            act.blocks()
        with subject.under("unplug"):
            _notices(subject, opening, waiting)
            _closes(opening)
            _stays_away(subject)
    subject.open_again()


def _notices(subject: Subject, opening: Opening, waiting: list[Act]) -> None:
    deadline = Deadline(NOTICED_SECONDS)
    while not deadline.over:
        if opening.link.wait_for(lambda: bool(opening.link.losses), 0.5):
            break
        ended = [act for act in waiting if act.ended]
        if len(ended) == len(waiting):
            for act in ended or [_use(subject, opening)]:
                _offline_or_nothing(act)
                if isinstance(act.error, DeviceOfflineError):
                    return
            waiting = [_use(subject, opening)]
    else:
        raise RuleBroken(
            f"It was unplugged, and {NOTICED_SECONDS:g} s later neither had link.lost() been called nor had a command "
            "or make_safe() raised DeviceOfflineError."
        )
    for act in waiting:
        _end(opening, act)


def _use(subject: Subject, opening: Opening) -> Act:
    """Use the device as far as it can be: a command that worked, else make it safe."""
    quick = [tried for tried in subject.tried if not tried.blocked and tried.error is None]
    return opening.begin(quick[0]) if quick else opening.hands.begin("make_safe()", opening.driver.make_safe)


def _offline_or_nothing(act: Act) -> None:
    if act.error is not None and not isinstance(act.error, (WebLabError, TimeoutError)):
        raise RuleBroken(
            f"Unplugged, {act.what} raised {type(act.error).__name__}: {act.error}. Raise DeviceOfflineError, which "
            "has the device opened again when it is back; anything else makes it faulty."
        )


def _stays_away(subject: Subject) -> None:
    opening = Opening(subject)
    try:
        opening.open()
    except DeviceOfflineError:
        return
    except RuleBroken:
        raise
    except Exception as error:
        raise RuleBroken(
            f"Unplugged, open() raised {type(error).__name__}: {error}. Raise DeviceOfflineError."
        ) from error
    finally:
        opening.leave()
    raise RuleBroken("Unplugged, it could be opened all the same.")


def _end(opening: Opening, act: Act) -> Act:
    """Have an act over: by itself, or by interrupting it. Errors: `RuleBroken`."""
    if act.blocks():
        opening.end(act)
    return act


def _sensible(tried: Tried, act: Act) -> None:
    if isinstance(act.error, UNFINISHED):
        raise RuleBroken(f"{tried} raised {type(act.error).__name__}: {act.error}")


def _closes(opening: Opening) -> None:
    try:
        opening.close()
    except RuleBroken:
        raise
    except Exception as error:
        raise RuleBroken(
            f"close() raised {type(error).__name__}: {error}. It never raises for what has gone."
        ) from error


def _recovers(opening: Opening, after: str) -> None:
    """The device is well again: it can be made safe; what was still on its way may fail that once or twice."""
    for _ in range(_SAFE_TRIES - 1):
        with contextlib.suppress(SafeStateError, TimeoutError):
            return opening.make_safe()
    try:
        return opening.make_safe()
    except RuleBroken:
        raise
    except Exception as error:
        raise RuleBroken(f"After {after}, make_safe() raised {type(error).__name__}: {error}") from error
