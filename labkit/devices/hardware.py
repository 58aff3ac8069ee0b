"""What hardware this machine has, asked of every driver; and which of it is declared already. Used by `devices scan`.

Each driver looks on a thread of its own: one that fails, or hangs in the kernel, costs nobody else what was found.
Nothing here opens a device; what a look needs is its driver's business.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.clock import Deadline
from labkit.devices.declaration import BenchDeclaration, DeviceDeclaration
from labkit.devices.missing_library import remedy_for
from labkit.plugin import Driver, DriverOptions, Found, UsbMatch
from labkit.threads import LabThread

LONGEST_SCAN = 30.0
"""Seconds that all drivers together may look."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One piece of hardware, with the driver that opens it. declared: the devices that mean it, `bench/device`."""

    kind: str
    found: Found
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What came of one driver's look. error: why it could not look, '' where it could; remedy: the command that helps,
    where one is known."""

    kind: str
    seen: Sequence[Seen] = ()
    error: str = ""
    remedy: str = ""


def look(
    drivers: Mapping[str, type[Driver[Any]]], benches: Iterable[BenchDeclaration] = (), *, seconds: float = LONGEST_SCAN
) -> list[Looked]:
    """Ask every driver that can look, by kind; blocks for `seconds` at most. Never raises for a driver's fault."""
    declared = [device for bench in benches for device in bench.devices if not device.options.simulate]
    looks = [_Look(kind, drivers[kind]) for kind in sorted(drivers) if can_look(drivers[kind])]
    for one in looks:
        one.thread.start()
    deadline = Deadline(seconds)
    for one in looks:
        one.done.wait(deadline.left())
    return [one.result(seconds, declared) for one in looks]


def can_look(driver: type[Driver[Any]]) -> bool:
    """Whether a driver has a `scan` of its own."""
    return getattr(driver.scan, "__func__", driver.scan) is not getattr(Driver.scan, "__func__", None)


class _Look:
    """One driver's look, on its thread."""

    def __init__(self, kind: str, driver: type[Driver[Any]]):
        self.done = threading.Event()
        self.thread = LabThread(f"scan:{kind}", lambda _: self._run())
        self._kind = kind
        self._driver = driver
        self._found: list[Found] = []
        self._error = ""
        self._remedy = ""

    def _run(self) -> None:
        try:
            self._found = _checked(self._driver.scan())
        except (Exception, SystemExit) as error:  # an author's code, and whatever library it needs
            self._error = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            self._remedy = remedy_for(error)
        finally:
            self.done.set()

    def result(self, seconds: float, declared: Sequence[DeviceDeclaration]) -> Looked:
        if not self.done.is_set():
            return Looked(kind=self._kind, error=f"it did not end within {seconds:g} s")
        own = [device for device in declared if device.kind == self._kind]
        seen = [
            Seen(kind=self._kind, found=found, declared=tuple(_declared_as(found, self._driver, own)))
            for found in self._found
        ]
        return Looked(kind=self._kind, seen=tuple(seen), error=self._error, remedy=self._remedy)


def _checked(answer: Any) -> list[Found]:
    if not isinstance(answer, Iterable):
        raise TypeError(f"scan() returned {answer!r}; it returns a list")
    found = [*answer]
    wrong = next((one for one in found if not isinstance(one, Found)), None)
    if wrong is not None:
        raise TypeError(f"scan() returned {wrong!r} where labkit.plugin.Found belongs")
    return found


def takes_of(found: Found, driver: type[Driver[Any]]) -> set[str]:
    """What a declaration of this hardware would have for itself; nothing where its options alone don't say."""
    try:
        return _taken_by(driver.Options.model_validate(dict(found.options)))
    except Exception:  # it needs more than was found out, or its author's validator is at fault
        return set()


def _taken_by(options: DriverOptions) -> set[str]:
    """What a declaration has for itself; nothing where its driver can't say, of which `labkit check` tells."""
    try:
        return {str(one) for one in options.takes()}
    except Exception:  # an author's method
        return set()


def _declared_as(found: Found, driver: type[Driver[Any]], declared: Sequence[DeviceDeclaration]) -> Iterator[str]:
    wanted, node = takes_of(found, driver), os.path.realpath(found.path)
    for device in declared:
        options = device.options
        if (
            wanted & _taken_by(options)
            or node in _nodes(options)
            or _is_matched(options, found)
            or _is_named(options, found)
        ):
            yield device.full_name


def _nodes(options: DriverOptions) -> set[str]:
    """The device files that a declaration names, whichever of their names it uses."""
    values = options.model_dump().values()
    return {os.path.realpath(value) for value in values if isinstance(value, str) and value.startswith("/dev/")}


def _is_matched(options: DriverOptions, found: Found) -> bool:
    """Whether a declaration's `match` fits: scans name what identifies a USB device as `match` does."""
    match = getattr(options, "match", None)
    if not isinstance(match, UsbMatch):
        return False
    known = {**found.facts, **found.options.get("match", {})}
    said = match.said
    return bool(said) and all(key in known and str(known[key]) == str(value) for key, value in said.items())


def _is_named(options: DriverOptions, found: Found) -> bool:
    """Whether a declaration says the same in every text: the chip, of which it may declare other lines."""
    texts = {key: value for key, value in found.options.items() if isinstance(value, str)}
    return bool(texts) and all(getattr(options, key, None) == value for key, value in texts.items())
