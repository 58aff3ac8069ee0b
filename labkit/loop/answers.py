"""How a call is answered that was refused, failed or interrupted. Used by `device_runner`; decides, does nothing."""

from __future__ import annotations

from labkit import errors
from labkit.loop.operation import Operation
from labkit.store.calls import Call, Reply
from labkit.store.processes import GONE_AFTER
from labkit.store.reservations import Condition


def refused(
    call: Call, condition: Condition, reason: str, *, fence: int = 0, now: float = 0.0, silent_for: float = 0.0
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
        )
    if condition is Condition.OFFLINE:
        return Reply(error="DeviceOfflineError", message=f"Device '{call.device}' is offline: {reason}.")
    if condition is Condition.FAULTY:
        return out_of_service(call, reason)
    return None


def out_of_service(call: Call, reason: str) -> Reply:
    """The answer while a device is faulty."""
    return Reply(error="DeviceFaultyError", message=f"Device '{call.device}' is out of service: {reason}.")


def busy(device: str, what: str) -> Reply:
    """The answer to a panel whose device has been busy for long."""
    return Reply(
        error="DeviceBusyError",
        message=f"Device '{device}' is busy with {what}; nothing was done. Try again when it is over.",
    )


def reply_for(error: Exception, device: str, operation: Operation) -> Reply:
    """The answer to a call whose command raised."""
    if isinstance(error, errors.InterruptedCallError) or operation.interrupted:
        if operation.interrupted == "its reservation is over":
            return Reply(
                error="ReservationLostError",
                message=f"The reservation of device '{device}' ended while {operation.what} ran.",
            )
        why = operation.interrupted or "it was interrupted"
        return Reply(
            error="CallLostError",
            message=f"{operation.what} of device '{device}' was ended: {why}. It may have run in part.",
        )
    name = type(error).__name__
    if isinstance(error, errors.DeviceError):
        return Reply(error=name, message=str(error))
    return Reply(
        error="DriverError", kind=name, message=f"{operation.what} of device '{device}' failed: {name}: {error}"
    )
