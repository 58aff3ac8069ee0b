"""BenchFile: reads one file of `devices/` and collects all that is wrong in it. Used by `declaration`.

A file is a bench; its tables are its devices. What can be seen only beside other files is noted here too, by
`clashes`. Nothing here opens a device.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labkit.devices.bench import BenchDeclaration, BenchOptions, DeviceDeclaration
from labkit.devices.driver_rules import NAME, NAME_RULE
from labkit.devices.excerpt import excerpt
from labkit.devices.kinds import no_driver, unknown_driver
from labkit.devices.plugins import Plugins
from labkit.devices.positions import KeyPath, Position, Positions, Span, with_plain_ends
from labkit.devices.problems import Complaint, Problem, Severity, explain, quoted, shortened, shown
from labkit.devices.secrets import hidden_in, plain_secrets, secret_keys, secrets_of
from labkit.devices.syntax import beyond_limits, mistakes, refuse_deep
from labkit.plugin import Driver, DriverOptions
from labkit.plugin.secret import FOLDER

PLAIN = (
    "the secret stands in this file, and whoever may read the file has it. "
    'Write { env = "NAME" } or { file = "path" } instead.'
)

MOST_NAMES = 10
"""Names that one sentence lists."""


class _NotReadable(Exception):
    """A file is no TOML at all; the problem is noted."""


@dataclass(frozen=True, kw_only=True)
class _Note:
    """What was noted, before it is known which parts of the file must not be shown."""

    place: Position | None
    """None where no line of the file is meant."""
    where: str
    complaint: Complaint
    severity: Severity


class BenchFile:
    """One bench's file. shown_path: how messages call it. rival: how they call the file whose name differs from this
    one's in capital letters only. machine: the one that asks; None: whatever the bench says."""

    def __init__(
        self,
        path: Path,
        plugins: Plugins,
        *,
        shown_path: str,
        simulate: bool = False,
        machine: str | None = None,
        rival: str = "",
    ):
        self.path = path
        self.shown_path = shown_path
        self.rival = rival
        self.devices: list[DeviceDeclaration] = []
        self.machine: str | None = None
        self._plugins = plugins
        self._simulate = simulate
        self._here = machine
        self._text = ""
        self._positions = Positions("")
        self._notes: list[_Note] = []
        self._hidden: list[Span] = []
        self._secrets: list[Any] = []

    # -- what was found

    @property
    def good(self) -> bool:
        return all(note.severity is Severity.WARNING for note in self._notes)

    def findings(self) -> list[Problem]:
        """All that was noted, in the order of the file."""
        return sorted(map(self._problem, self._notes), key=lambda problem: (problem.line, problem.column))

    def note(self, table: str, *complaints: Complaint, severity: Severity = Severity.PROBLEM) -> None:
        """Note what is wrong in a table."""
        for complaint in complaints:
            place = self._positions.of((table, *complaint.path))
            self._notes.append(_Note(place=place, where=table, complaint=complaint, severity=severity))

    def line_of(self, table: str, path: KeyPath) -> int:
        """The line in which a key of a table stands."""
        return self._positions.of((table, *path)).line

    def hide(self, text: str) -> str:
        """An author's text without the secrets of this file."""
        return hidden_in(text, self._secrets)

    def drivers_fault(self, kind: str, what: str, error: Exception) -> Complaint:
        """The complaint about a device whose driver raised while its declaration was looked at."""
        cause = self.hide(" ".join(f"{type(error).__name__}: {error}".split()))
        message = f"the driver '{kind}' could not {what}: {cause}. This is a fault of the driver."
        return Complaint(path=(), message=message)

    def _note_file(self, message: str, place: Position | None = None, where: str = "") -> None:
        complaint = Complaint(path=(), message=message)
        self._notes.append(_Note(place=place, where=where, complaint=complaint, severity=Severity.PROBLEM))

    def _problem(self, note: _Note) -> Problem:
        place = note.place or Position(line=1, column=1)
        return Problem(
            file=self.shown_path,
            line=place.line,
            column=place.column,
            where=note.where,
            message=note.complaint.message,
            suggestion=note.complaint.suggestion,
            key=shown(note.complaint.path),
            severity=note.severity,
            excerpt=excerpt(self._text, note.place, self._hidden) if note.place is not None else None,
        )

    # -- reading

    def read(self) -> BenchDeclaration:
        """Return the bench; it counts only where all is `good` afterwards."""
        name = self.path.stem
        if not NAME.fullmatch(name):
            self._note_file(f"'{name}' can't be a bench's name: {self._why_not(name)}. Rename the file.")
        try:
            tables = self._tables()
        except _NotReadable:
            tables = {}
        bench = self._bench(tables.pop("bench", {}))
        self.machine = bench.machine
        for device, table in tables.items():
            self._device(device, table)
        return BenchDeclaration(
            name=name,
            title=bench.title or name,
            features=tuple(sorted(set(bench.features))),
            machine=bench.machine,
            devices=tuple(self.devices),
            file=self.path,
        )

    def _why_not(self, name: str) -> str:
        if self.rival:
            return f"names have small letters, and {self.rival} has that one already"
        return NAME_RULE

    def _tables(self) -> dict[str, Any]:
        self._text = self._content()
        try:
            tables = tomllib.loads(self._text)
            refuse_deep(tables)
        except tomllib.TOMLDecodeError as error:
            self._hidden += self._likely_secrets()
            for mistake in mistakes(str(error), self._text):
                self._note_file(mistake.message, mistake.place, mistake.where)
            raise _NotReadable from None
        except (ValueError, RecursionError) as error:  # Python's own limits
            self._hidden += self._likely_secrets()
            self._note_file(*beyond_limits(error, self._text))
            raise _NotReadable from None
        self._positions = Positions(self._text)
        outside = [name for name, value in tables.items() if not isinstance(value, dict) and not _tables_list(value)]
        if outside:
            self._note_file(_outside(outside), self._positions.of((outside[0],)))
        for name, value in tables.items():
            if _tables_list(value):
                message = f"is a list of tables. Write [{name}] once, in single brackets."
                self.note(name, Complaint(path=(), message=message))
        return {name: value for name, value in tables.items() if isinstance(value, dict)}

    def _content(self) -> str:
        content = b""
        try:
            content = self.path.read_bytes()
            return with_plain_ends(content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            self._text = with_plain_ends(content.decode("utf-8-sig", "replace"))
            before = error.object[: error.start].decode().split("\n")
            self._hidden += self._likely_secrets()
            self._note_file(
                "not UTF-8 text. Save the file as UTF-8.", Position(line=len(before), column=len(before[-1]) + 1)
            )
        except OSError as error:
            self._note_file(f"can't be read: {error.strerror}.")
        raise _NotReadable

    def _likely_secrets(self) -> Iterator[Span]:
        """In a text that can't be read: all that follows a key under which some driver has a secret."""
        keys = "|".join(map(re.escape, secret_keys(driver.Options for driver in self._plugins.drivers.values())))
        value = r"(\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'''[\s\S]*?(?:'''|\Z)|[^\n]+)"
        for found in re.finditer(rf"(?<![\w-])(?:{keys})[\"']?\s*=[ \t]*{value}", self._text) if keys else ():
            yield Span(start=found.start(1), end=found.end(1))

    # -- tables

    def _bench(self, table: dict[str, Any]) -> BenchOptions:
        if "driver" in table:
            message = "driver: [bench] describes the bench and is no device. Give the device's table another name."
            self.note("bench", Complaint(path=("driver",), message=message))
            return BenchOptions()
        try:
            return BenchOptions.model_validate(table)
        except ValidationError as error:
            self.note("bench", *explain(error, BenchOptions, table))
            return BenchOptions()

    def _device(self, name: str, table: dict[str, Any]) -> None:
        if not NAME.fullmatch(name):
            self.note(name, Complaint(path=(), message=f"can't be a device's name: {NAME_RULE}."))
        kind, driver = self._driver(name, table)
        if driver is None:
            return
        options = self._options(name, kind, driver, {key: value for key, value in table.items() if key != "driver"})
        if options is None:
            return
        device = DeviceDeclaration(
            bench=self.path.stem,
            name=name,
            driver=self._chosen(name, kind, driver, simulate=options.simulate),
            kind=kind,
            options=options,
            line=self._positions.of((name,)).line,
        )
        self.devices.append(device)
        if not options.simulate:
            self._check_secrets(device)

    def _driver(self, name: str, table: dict[str, Any]) -> tuple[str, type[Driver[Any]] | None]:
        kind = table.get("driver")
        if isinstance(kind, str) and kind in self._plugins.drivers:
            return kind, self._plugins.drivers[kind]
        if kind is None:
            complaint = no_driver(name, table, self._plugins)
        elif isinstance(kind, str):
            complaint = unknown_driver(kind, self._plugins)
        else:
            complaint = Complaint(path=("driver",), message=f"driver: must be text in quotes, not {quoted(kind)}.")
        self.note(name, complaint)
        return "", None

    def _options(self, name: str, kind: str, driver: type[Driver[Any]], table: dict[str, Any]) -> DriverOptions | None:
        if self._simulate:
            table = {**table, "simulate": True}  # a driver may ask for less where nothing real has to be found
        for path, value in plain_secrets(driver.Options, table).items():
            self._secrets.append(value)
            span = self._positions.value((name, *path))
            self._hidden += [span] if span is not None else []
        try:
            return driver.Options.model_validate(table, context={FOLDER: self.path.absolute().parent})
        except ValidationError as error:
            self.note(name, *explain(error, driver.Options, table))
        except Exception as error:  # an author's validator
            self.note(name, self.drivers_fault(kind, "check its options", error))
        return None

    def _chosen(self, name: str, kind: str, driver: type[Driver[Any]], *, simulate: bool) -> type[Driver[Any]]:
        if not simulate:
            return driver
        if driver.simulated is not None:
            return driver.simulated
        what = f"simulate: the driver '{kind}' has no simulated twin."
        asked = "The whole lab was asked to be simulated." if self._simulate else "Take simulate out."
        self.note(name, Complaint(path=("simulate",), message=f"{what} {asked}"))
        return driver

    def _check_secrets(self, device: DeviceDeclaration) -> None:
        elsewhere = self._here is not None and self.machine not in (None, self._here)
        for path, secret in secrets_of(device.options):
            if secret.plain:
                doubt = Complaint(path=path, message=f"{shown(path)}: {PLAIN}")
                self.note(device.name, doubt, severity=Severity.WARNING)
            elif secret.trouble and not elsewhere:  # another machine has it, where it is needed
                self.note(device.name, Complaint(path=path, message=f"{shown(path)}: {secret.trouble}"))


def _tables_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _outside(names: list[str]) -> str:
    """The sentence for keys before all tables: either those of [bench], or the header of a device is missing."""
    if all(name in BenchOptions.model_fields for name in names):
        remedy = "under [bench]"
    else:
        remedy = "under their device's table, which begins with its name in brackets: [console]"
        remedy = remedy if len(names) > 1 else remedy.replace("their", "its")
    known = [shortened(name) for name in names]
    if len(known) > MOST_NAMES:
        known = [*known[: MOST_NAMES - 1], f"{len(known) - MOST_NAMES + 1} more"]
    said = f"{known[0]}: stands" if len(known) == 1 else f"{', '.join(known[:-1])} and {known[-1]}: stand"
    return f"{said} outside of any table. Put {'it' if len(names) == 1 else 'them'} {remedy}."
