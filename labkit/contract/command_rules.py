"""Rules of commands and of interrupting them. Each function is a rule; its docstring says what and why."""

from __future__ import annotations

from labkit import wire
from labkit.contract.hands import INTERRUPT_SECONDS, Act, NotApplicable, RuleBroken
from labkit.contract.subject import Opening, Subject, Tried
from labkit.errors import InterruptedCallError, NotStorableError

UNFINISHED = (NotImplementedError, AttributeError, NameError)
"""What no command raises on purpose."""


def answers_what_can_travel(subject: Subject) -> None:
    """Each command that came to its end gave back a value that can be sent (text, numbers, bytes, None, lists, dicts),
    and none stumbled over its own code."""
    faults = []
    for tried in subject.tried:
        if isinstance(tried.error, UNFINISHED):
            faults.append(f"{tried} raised {type(tried.error).__name__}: {tried.error}")
        if tried.error is None and not tried.blocked:
            try:
                wire.dumps(tried.value, f"what {tried.name}() returned")
            except NotStorableError as error:
                faults.append(str(error))
    if faults:
        raise RuleBroken(" ".join(faults))
    _ = subject.quick or subject.blocking


def takes_no_notice_of_an_interrupt_when_idle(subject: Subject) -> None:
    """`interrupt()` with nothing running returns at once and leaves no mark on what comes next: it may come a moment
    after its command has ended, and the next one is another student's."""
    with subject.opened() as opening:
        for _ in range(3):
            opening.interrupt()
        _unmarked("make_safe()", opening.hands.begin("make_safe()", opening.driver.make_safe))
        for tried in subject.tried:
            if not tried.blocked and tried.error is None:
                opening.interrupt()
                _unmarked(f"{tried.name}()", opening.begin(tried))


def _unmarked(what: str, act: Act) -> None:
    try:
        act.result()
    except InterruptedCallError as error:
        raise RuleBroken(f"After an interrupt while it was idle, {what} raised {_named(error)}") from error
    except RuleBroken:
        raise
    except Exception:
        return  # what it needs may not be there this time: that is no mark


def ends_a_command_that_is_interrupted(subject: Subject) -> None:
    """A command that waits ends within 2 s of `interrupt()`, which itself returns at once; the same command can be used
    again afterwards. One that does not end costs the whole device: its thread is left alone."""
    for tried in subject.blocking:
        with subject.opened() as opening:
            for when in ("", "the second time, "):
                act = _blocked(opening, tried, when)
                opening.end(act)
                if act.error is not None and not isinstance(act.error, InterruptedCallError):
                    raise RuleBroken(
                        f"{tried} was interrupted and raised {_named(act.error)}, no InterruptedCallError."
                    )


def _blocked(opening: Opening, tried: Tried, when: str = "") -> Act:
    """Begin a command that is known to block. Errors: `RuleBroken` where it fails at once this time, `NotApplicable`
    where it came to its end: it may be slow only now and then."""
    act = opening.begin(tried)
    if act.blocks():
        return act
    if act.error is None:
        raise NotApplicable(f"{tried} ended before it could be interrupted; name arguments with which it waits.")
    raise RuleBroken(f"{when}{tried} raised {_named(act.error)} at once. Does an earlier interrupt leave a mark?")


def can_be_released_while_it_is_busy(subject: Subject) -> None:
    """A command runs, is interrupted, and `make_safe()` follows at once: so does every session end that ends in the
    middle of something."""
    for tried in subject.blocking:
        with subject.opened() as opening:
            act = _blocked(opening, tried)
            safe = opening.hands.begin(f"make_safe() after {tried.name}()", opening.driver.make_safe)
            opening.interrupt()
            if not act.wait(INTERRUPT_SECONDS):
                raise NotApplicable(f"{tried} goes on when it is interrupted.")
            try:
                safe.result()
            except RuleBroken:
                raise
            except Exception as error:
                raise RuleBroken(f"make_safe() after the interrupted {tried} raised {_named(error)}") from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
