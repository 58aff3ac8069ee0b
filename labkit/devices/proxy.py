"""Proxies: what lab code holds instead of a device. `weblab.devices["console"].write(b"...")`, from any process.

A proxy carries the fence of the reservation under which it was made, for ever: an old one is refused, whoever holds
the device by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from labkit.context import BoundSession, Purpose, require_session
from labkit.devices.caller import DeviceCaller
from labkit.devices.reservation import BenchReservation
from labkit.errors import ReservationLostError, UnknownDeviceError
from labkit.plugin import Driver

D = TypeVar("D", bound=Driver[Any])


class DeviceProxy:
    """One device of one reservation. Its commands are methods; a call blocks until it is done or has failed.

    Errors of every command: its driver's as `DriverError`, `CommandError`, `ReservationLostError`, `CallExpiredError`,
    `CallLostError`, `DeviceOfflineError`, `DeviceFaultyError`, `StoreUnavailableError`.
    """

    def __init__(
        self, caller: DeviceCaller, device: str, fence: int, bound: BoundSession, seconds: float | None = None
    ):
        self._caller = caller
        self._device = device
        self._fence = fence
        self._bound = bound
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"<Device {self._device} fence={self._fence}>"

    @property
    def name(self) -> str:
        """Full name, `bench/device`."""
        return self._device

    def within(self, seconds: float) -> DeviceProxy:
        """The same device, whose calls may take so many seconds."""
        return DeviceProxy(self._caller, self._device, self._fence, self._bound, seconds)

    def call(self, command: str, *args: Any, panel: bool = False, **kwargs: Any) -> Any:
        """Call a command by name. panel: only commands that are marked for the panel."""
        seconds = (
            self._seconds
            if self._seconds is not None
            else self._caller.seconds_for(self._device, command, args, kwargs)
        )
        task, process = self._bound.by_task
        pending = self._caller.submit(
            self._device,
            command,
            fence=self._fence,
            seconds=self._bound.limit.left(at_most=seconds),
            args=args,
            kwargs=kwargs,
            panel=panel,
            task=task,
            process=process,
        )
        return pending.result()

    def __getattr__(self, command: str) -> Callable[..., Any]:
        if command.startswith("_"):
            raise AttributeError(command)

        def run(*args: Any, **kwargs: Any) -> Any:
            return self.call(command, *args, **kwargs)

        run.__name__ = command
        return run


class Devices:
    """The devices of the session that is bound here: `weblab.devices`."""

    def __init__(self, caller: DeviceCaller, benches: BenchReservation):
        self._caller = caller
        self._benches = benches

    def __getitem__(self, name: str) -> DeviceProxy:
        """A proxy by a device's name, or by `bench/device`. Errors: `UnknownDeviceError`, `NoContextError`."""
        return self.proxy(require_session(), name)

    def typed(self, driver: type[D], name: str) -> D:
        """The same proxy, which type checkers take for an instance of its driver, or of its driver's twin.

        Only commands can be used. Errors: `UnknownDeviceError`, also for a device of another kind; `NoContextError`.
        """
        proxy = self[name]
        bench, _, device = proxy.name.partition("/")
        kind = self._caller.devices_of(bench).get(device, {}).get("kind")
        if kind != driver.kind:
            raise UnknownDeviceError(
                f"Device '{proxy.name}' is of the kind '{kind}', not '{driver.kind}' ({driver.__name__}).",
                device=proxy.name,
            )
        return cast(D, proxy)

    def __iter__(self) -> Iterator[str]:
        """Full names of the session's devices."""
        return iter(self.names(require_session()))

    def __len__(self) -> int:
        return len(self.names(require_session()))

    def __contains__(self, name: object) -> bool:
        return any(name in (full, full.partition("/")[2]) for full in self.names(require_session()))

    def names(self, bound: BoundSession) -> list[str]:
        """Full names of a session's devices."""
        return [f"{bench}/{device}" for bench in bound.fences for device in self._caller.devices_of(bench)]

    def proxy(self, bound: BoundSession, name: str) -> DeviceProxy:
        """A proxy for a device of a session."""
        names = self.names(bound)
        found = [full for full in names if name in (full, full.partition("/")[2])]
        if not found:
            raise UnknownDeviceError(
                f"This session has no device '{name}'. It has: {', '.join(names) or 'none'}.", device=name
            )
        if len(found) > 1:
            raise UnknownDeviceError(f"'{name}' names several devices: say one of {', '.join(found)}.", device=name)
        return DeviceProxy(self._caller, found[0], bound.fences[found[0].partition("/")[0]], bound)

    def acquire(self, bench: str | None = None, features: Sequence[str] = ()) -> list[str]:
        """Reserve a free bench (any, one by name, or one with these features) and make it ready; all or nothing.

        Returns the full names of its devices. Errors: `BenchUnavailableError` naming which bench is held and until
        when, `ReservationLostError`.
        """
        bound = require_session()
        if bound.purpose is Purpose.ENDING:
            raise ReservationLostError("The session is ending; no bench can be reserved for it any more.")
        name = self._benches.acquire(bound, bench=bench or "", features=features)
        return [f"{name}/{device}" for device in self._caller.devices_of(name)]

    def release(self, bench: str | None = None) -> None:
        """Give a bench (None: all) back before the session ends. Errors: `ReservationLostError`."""
        self._benches.release(require_session(), bench or "")
