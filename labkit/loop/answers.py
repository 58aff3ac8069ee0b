"""How a call is answered that was refused, failed or interrupted. For what works on a device; decides, does nothing."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from labkit import errors
from labkit.log_text import plain
from labkit.loop.blame import CALLER_IN_A_HURRY, IGNORED_INTERRUPT, NO_HOST, blame_for
from labkit.store.calls import Call, Reply
from labkit.store.processes import GONE_AFTER
from labkit.store.reservations import Blame, Condition

log = logging.getLogger("labkit.loop")

_LABKIT = str(Path(__file__).parents[1]) + os.sep
RESERVATION_OVER = "its reservation is over"
"""Why an operation is interrupted whose fence was overtaken."""
OVERDUE = "its time is over"
"""Why an operation is interrupted that has run past its limit."""
WENT_AWAY = "its time is over, or its device or host went away"


def refused(
    call: Call,
    condition: Condition,
    reason: str,
    blame: Blame = Blame.NOBODY,
    *,
    fence: int = 0,
    now: float = 0.0,
    silent_for: float = 0.0,
) -> Reply | None:
    """Why a call must not touch its device, or None. The device was surely not touched."""
    if call.fence < fence:
        return Reply(
            error="ReservationLostError",
            message=f"The reservation of device '{call.device}' is over; nothing was done.",
        )
    if now > call.until:
        return Reply(
            error="CallExpiredError",
            message=f"The call {call.command} of device '{call.device}' came to its deadline; nothing was done.",
        )
    if silent_for > GONE_AFTER:
        return Reply(
            error="CallExpiredError",
            message=f"The host of device '{call.device}' lost touch with the store; nothing was done. Try again.",
            blame=NO_HOST,
        )
    if condition is Condition.OFFLINE:
        return Reply(error="DeviceOfflineError", message=f"Device '{call.device}' is offline: {reason}.", blame=blame)
    if condition is Condition.FAULTY:
        return out_of_service(call, reason, blame)
    return None


def out_of_service(call: Call, reason: str, blame: Blame) -> Reply:
    """The answer while a device is faulty."""
    message = f"Device '{call.device}' is out of service: {reason}."
    return Reply(error="DeviceFaultyError", message=message, blame=blame)


def lost_in_driver(call: Call, reason: str) -> Reply:
    """The answer to a call whose driver does not come back."""
    return Reply(error="CallLostError", message=f"Device '{call.device}': {reason}.", blame=IGNORED_INTERRUPT)


def given_up(call: Call, task_runs: Callable[[Call], bool]) -> Reply | None:
    """Why a call must not begin whose task may have been given up since it was submitted, or None."""
    try:
        if task_runs(call):
            return None
        why = "the task that calls was given up"
    except errors.StoreUnavailableError:
        why = "the store is away, so nobody knows whether the task that calls still runs"
    return Reply(error="ReservationLostError", message=f"Device '{call.device}': {why}. Nothing was done.")


def busy(device: str, what: str) -> Reply:
    """The answer to a panel whose device has been busy for long."""
    return Reply(
        error="DeviceBusyError",
        message=f"Device '{device}' is busy with {what}; nothing was done. Try again when it is over.",
    )


class Interrupted(Protocol):
    """What of an operation says how it ended."""

    what: str
    interrupted: str


def reply_for(error: BaseException, call: Call, operation: Interrupted) -> Reply:
    """The answer to a call whose command raised."""
    if isinstance(error, errors.InterruptedCallError) or operation.interrupted:
        return cut_short(call, operation.interrupted or "it was interrupted")
    name = type(error).__name__
    if isinstance(error, errors.DeviceError):
        return Reply(error=name, message=text_of(error), blame=blame_for(error))
    what, blame = f"{call.command} of device '{call.device}'", blame_for(error)
    log.warning("command failed device=%s command=%s blame=%s", call.device, call.command, blame, exc_info=error)
    return Reply(error="DriverError", kind=name, message=f"{what} failed: {described(error)}", blame=blame)


def described(error: BaseException) -> str:
    """An error of a driver in one line: its class, its text, and where in the driver it came from."""
    if isinstance(error, errors.WebLabError):
        return f"{type(error).__name__}: {text_of(error)}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_LABKIT)]
    own = [frame for frame in frames if frame.filename == frames[0].filename]  # the driver's, not a library's below it
    where = f" ({os.sep.join(Path(own[-1].filename).parts[-2:])}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {text_of(error)}{where}"


def text_of(error: BaseException) -> str:
    """What an error of a driver says, fit to be shown. Never raises, whatever its author has made of it: what follows
    is a closing."""
    try:
        return plain(str(error))
    except BaseException:
        return "its error can't be read: str() of it raises"


def cut_short(call: Call, why: str) -> Reply:
    """The answer to a call that was ended while it ran."""
    what = f"{call.command} of device '{call.device}'"
    if why == RESERVATION_OVER:
        return Reply(error="ReservationLostError", message=f"The reservation ended while {what} ran.")
    blame = CALLER_IN_A_HURRY if why == OVERDUE else Blame.NOBODY
    return Reply(error="CallLostError", message=f"{what} was ended: {why}. It may have run in part.", blame=blame)
