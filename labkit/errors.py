"""Every error that labkit raises, on one page. Used by everybody, imports nothing.

Each error has the family's base and, where one fits, a builtin parent, so that both `except WebLabError` and
`except ValueError` do what a reader expects. Facts are attributes; the message is a sentence: what happened, to
which named thing, what to do.
"""

from __future__ import annotations

import builtins


class WebLabError(Exception):
    """Base of all errors of labkit."""


class NoContextError(WebLabError, RuntimeError):
    """Something that belongs to a session was used where no session is bound."""


class InvalidConfigError(WebLabError, ValueError):
    """The configuration is wrong; the lab does not start."""


class DeclarationError(InvalidConfigError):
    """One or more declarations in `devices/*.toml` are wrong; `problems` holds all of them, one line each."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


class MissingSecretError(WebLabError, LookupError):
    """The environment variable or the file that a declaration names for a secret has none."""


class WebLabNotInitializedError(WebLabError, RuntimeError):
    """A WebLab object was needed before `init_app` was called."""


class TimeoutError(WebLabError, builtins.TimeoutError):  # noqa: A001 - the name is the session API's
    """A wait with a limit came to its limit."""


class AlreadyRunningError(WebLabError, RuntimeError):
    """A unique task is already submitted or running."""


class NotStorableError(WebLabError, TypeError):
    """A value can't be kept in the store (it is not JSON, bytes, or a container of them)."""


class StoreUnavailableError(WebLabError, ConnectionError):
    """The store does not answer. `sent`: the request may have reached it, and may have been carried out."""

    def __init__(self, message: str = "", *, sent: bool = True):
        self.sent = sent
        super().__init__(message)


class StoreUnfitError(StoreUnavailableError):
    """The store answers, and a lab can't rely on it: it refuses a command, throws keys away, or is too old."""


class NotCopiedError(StoreUnavailableError):
    """What was written is not on as many replicas as LABKIT_STORE_REPLICAS asks for."""


class WrongAppError(InvalidConfigError):
    """Another app uses this key prefix already; give this one its own `WEBLAB_REDIS_BASE`."""


class SessionLostError(WebLabError, RuntimeError):
    """A step of a session was refused: somebody with a later fence has taken it over, or it is over."""


class BadRequestError(WebLabError, ValueError):
    """A request of an RLMS is malformed; `key` names what is wrong."""

    def __init__(self, key: str, message: str):
        self.key = key
        super().__init__(message)


class BenchUnavailableError(WebLabError, RuntimeError):
    """No bench that was asked for is free; the message says which one is held, until when, or what is broken."""


class DeviceError(WebLabError, RuntimeError):
    """Something about one device; `device` is its full name, `bench/device`.

    blame: whose fault it seems to be: user, driver, device, lab, or '' where nobody can tell. A driver may say it.
    """

    def __init__(self, message: str, *, device: str = "", blame: str = ""):
        self.device = device
        self.blame = blame
        super().__init__(message)


class UnknownDeviceError(DeviceError, KeyError):
    """No such device in this session."""

    def __str__(self) -> str:
        return RuntimeError.__str__(self)


class ReservationLostError(DeviceError):
    """The reservation under which this was tried is over. The hardware was not touched."""


class CallExpiredError(DeviceError, builtins.TimeoutError):
    """The call came to its deadline before the driver began it: it surely did not run."""


class CallLostError(DeviceError):
    """The host died, or was too late, with the call in its hands: it may have run, and is never repeated."""


class DeviceOfflineError(DeviceError, ConnectionError):
    """The device is not there: unplugged, busy outside labkit, or its host is not running."""


class DeviceFaultyError(DeviceError):
    """The device is out of service until it passes a check."""


class DeviceBusyError(DeviceError):
    """The device has been busy with another call for over a second; nothing was done."""


class DriverError(DeviceError):
    """A driver's command raised; `kind` is the class name of the error there, `message` its text."""

    def __init__(self, message: str, *, device: str = "", kind: str = "", blame: str = ""):
        self.kind = kind
        super().__init__(message, device=device, blame=blame)


class CommandError(DeviceError, ValueError):
    """No such command, or arguments that it does not take."""


class InterruptedCallError(DeviceError):
    """A blocked read or write of a driver was ended by `interrupt()`."""


class SafeStateError(DeviceError):
    """The safe state was set but reads back differently, or could not be reached."""
