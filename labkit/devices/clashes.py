"""Checks across devices and files: hardware that two devices take, and what drivers have doubts about.

Used by `declaration`, after each file was read for itself. Simulated devices take nothing and are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from labkit.devices.bench import DeviceDeclaration
from labkit.devices.bench_file import BenchFile
from labkit.devices.problems import Complaint, Severity, shown
from labkit.plugin import Doubt, Takes, UsbMatch

T = TypeVar("T", Doubt, Takes)

_FIELDS: dict[str, Any] = {"what": str, "message": str, "path": tuple, "match": UsbMatch | None}
"""Of which types the fields of those two are."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A piece of hardware, and the device that takes it."""

    file: BenchFile
    device: DeviceDeclaration
    takes: Takes

    @property
    def line(self) -> int:
        return self.file.line_of(self.device.name, self.takes.path)


def note_doubts(files: Iterable[BenchFile]) -> None:
    """Note as warnings what drivers have doubts about."""
    for file, device in _real(files):
        for doubt in _asked(file, device, "look at its options", device.options.doubts, Doubt):
            message = _key(doubt.path) + file.hide(doubt.message).removeprefix(_key(doubt.path))
            file.note(device.name, Complaint(path=doubt.path, message=message), severity=Severity.WARNING)


def note_clashes(files: Iterable[BenchFile]) -> None:
    """Note each piece of hardware that a device before takes already; at the second one, naming the first."""
    taken: dict[str, list[Taken]] = {}
    for file, device in _real(files):
        for takes in _asked(file, device, "say which hardware it takes", device.options.takes, Takes):
            here = Taken(file=file, device=device, takes=takes)
            others = taken.setdefault(takes.what, [])
            first = next((one for one in others if one.takes.may_be(takes) and _may_meet(one, here)), None)
            if first is not None:
                file.note(device.name, Complaint(path=takes.path, message=_clash(first, here)))
            others.append(here)


def _real(files: Iterable[BenchFile]) -> Iterator[tuple[BenchFile, DeviceDeclaration]]:
    for file in files:
        for device in file.devices:
            if not device.options.simulate:
                yield file, device


def _asked(
    file: BenchFile, device: DeviceDeclaration, what: str, ask: Callable[[], Sequence[T]], kind: type[T]
) -> Sequence[T]:
    """What a driver answers; where it raises, or answers something else, that is a problem of its device."""
    try:
        answers = tuple(ask())
        for answer in answers:
            _refuse_others(answer, kind)
    except Exception as error:  # an author's method
        file.note(device.name, file.drivers_fault(device.kind, what, error))
        return ()
    return answers


def _refuse_others(answer: Any, kind: type[Any]) -> None:
    """Errors: TypeError where an answer is of another type, or one of its fields is."""
    belongs = f"it returned {answer!r} where labkit.plugin.{kind.__name__} belongs"
    if not isinstance(answer, kind):
        raise TypeError(belongs)
    wrong = [name for name, value in vars(answer).items() if not isinstance(value, _FIELDS.get(name, object))]
    if wrong or not all(isinstance(key, (str, int)) for key in answer.path):
        raise TypeError(f"{belongs}, with a text, and a path such as ('match', 'usb_id')")


def _may_meet(one: Taken, other: Taken) -> bool:
    """Whether one machine may have both; a bench that names none may be on any."""
    machines = {one.file.machine, other.file.machine}
    return len(machines) == 1 or None in machines


def _clash(first: Taken, here: Taken) -> str:
    who = first.device.full_name if first.device is not here.device else shown(first.takes.path) or "this device"
    place = f"{first.file.shown_path}:{first.line}"
    text = f"{_key(here.takes.path)}{here.file.hide(str(here.takes))} is taken already by {who} ({place})."
    if first.file is here.file or (first.file.machine and here.file.machine):
        return text
    return f"{text} If the two benches are on different machines, name the machine of each in its [bench]."


def _key(path: tuple[str | int, ...]) -> str:
    return f"{shown(path)}: " if path else ""
