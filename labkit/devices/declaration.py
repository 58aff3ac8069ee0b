"""Declarations: the files of `devices/`, read and checked against the drivers. Used by the catalog and `labkit check`.

A file is a bench and its name is the file's; the table `[bench]` describes it, and each other table is a device with
its driver and the driver's options. All mistakes of all files are found at once. Nothing here opens a device.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labkit.devices.driver_rules import NAME, NAME_RULE
from labkit.devices.plugins import BrokenPlugin, Plugins
from labkit.devices.positions import KeyPath, Position, Positions
from labkit.devices.problems import Complaint, Problem, as_toml, explain, nearest
from labkit.errors import DeclarationError
from labkit.plugin import Driver, DriverOptions

__all__ = ["BenchDeclaration", "DeviceDeclaration", "Problem", "check_declarations", "read_declarations"]


@dataclass(frozen=True, kw_only=True)
class DeviceDeclaration:
    """One device as declared. `driver` is the class to open it with: already the twin where it is simulated.

    line: where its table begins in the bench's file; a table that only moved is the same.
    """

    bench: str
    name: str
    driver: type[Driver[Any]]
    kind: str
    options: DriverOptions
    line: int = field(compare=False)

    @property
    def full_name(self) -> str:
        return f"{self.bench}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class BenchDeclaration:
    """One bench as declared, its devices in the order of the file. machine: the only one that may host it, or None."""

    name: str
    title: str
    features: tuple[str, ...]
    machine: str | None
    devices: tuple[DeviceDeclaration, ...]
    file: Path


class BenchOptions(BaseModel):
    """The keys of the table `[bench]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(default="", description="Name shown to people; the file's name where empty.")
    features: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="What a session may ask for, for example a board's model."
    )
    machine: str | None = Field(
        default=None,
        min_length=1,
        description="LABKIT_MACHINE of the only machine that hosts this bench; any where left out.",
    )


def read_declarations(folder: Path, plugins: Plugins, *, simulate: bool = False) -> list[BenchDeclaration]:
    """Return all benches, bench-2 before bench-10; none where the folder does not exist.

    simulate: use every driver's twin. Errors: `DeclarationError` with every problem of every file.
    """
    benches, problems = check_declarations(folder, plugins, simulate=simulate)
    if problems:
        raise DeclarationError([str(problem) for problem in problems])
    return benches


def check_declarations(
    folder: Path, plugins: Plugins, *, simulate: bool = False
) -> tuple[list[BenchDeclaration], list[Problem]]:
    """Read all files; return the benches without fault, and all problems in the order of files and lines."""
    benches: list[BenchDeclaration] = []
    problems: list[Problem] = []
    for path in sorted(_files(folder), key=lambda path: _natural(path.stem)):
        reader = _FileReader(path, plugins, simulate=simulate)
        bench = reader.read()
        if not reader.problems:
            benches.append(bench)
        problems += sorted(reader.problems, key=lambda problem: (problem.line, problem.column))
    return benches, problems


def _files(folder: Path) -> Iterable[Path]:
    """Editors leave hidden files behind; those are nobody's bench."""
    return (path for path in folder.glob("*.toml") if not path.name.startswith(".")) if folder.is_dir() else ()


def _natural(name: str) -> tuple[list[str | int], str]:
    """Order by the numbers in a name as numbers. Text and numbers alternate, so that like is compared with like."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)], name


class _NotReadable(Exception):
    """A file is no TOML at all; the problem is noted."""


class _FileReader:
    """Reads one bench's file and collects all that is wrong in it in `problems`."""

    def __init__(self, path: Path, plugins: Plugins, *, simulate: bool):
        self.problems: list[Problem] = []
        self._path = path
        self._shown_path = f"{path.parent.absolute().name}/{path.name}"
        self._plugins = plugins
        self._simulate = simulate
        self._positions = Positions("")

    def read(self) -> BenchDeclaration:
        """Return the bench; it counts only where `problems` is empty."""
        name = self._path.stem
        if not NAME.fullmatch(name):
            self._note_file(f"'{name}' can't be a bench's name: {NAME_RULE}. Rename the file.")
        try:
            tables = self._tables()
        except _NotReadable:
            tables = {}
        bench = self._bench(tables.pop("bench", {}))
        devices = [self._device(device, table) for device, table in tables.items()]
        return BenchDeclaration(
            name=name,
            title=bench.title or name,
            features=tuple(sorted(set(bench.features))),
            machine=bench.machine,
            devices=tuple(device for device in devices if device is not None),
            file=self._path,
        )

    # -- from bytes to tables ------------------------------------------------------------------------------------

    def _tables(self) -> dict[str, Any]:
        text = self._text()
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message, place = _syntax(str(error), text)
            self._note_file(message, place)
            raise _NotReadable from None
        self._positions = Positions(text)
        return {name: table for name, table in tables.items() if self._is_table(name, table)}

    def _text(self) -> str:
        try:
            content = self._path.read_bytes()
            return content.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self._note_file("not UTF-8 text. Save the file as UTF-8.", Position(line=line, column=1))
        except OSError as error:
            self._note_file(f"can't be read: {error.strerror}.")
        raise _NotReadable

    def _is_table(self, name: str, table: Any) -> bool:
        if isinstance(table, dict):
            return True
        if isinstance(table, list) and table and all(isinstance(item, dict) for item in table):
            message = f"is a list of tables. Write [{name}] once, in single brackets."
        elif name in BenchOptions.model_fields:
            message = "stands outside of any table. Put it under [bench]."
        else:
            message = "stands outside of any table. Put it under its device's table, which looks like [console]."
        self._note(name, Complaint(path=(), message=message))
        return False

    # -- tables --------------------------------------------------------------------------------------------------

    def _bench(self, table: dict[str, Any]) -> BenchOptions:
        try:
            return BenchOptions.model_validate(table)
        except ValidationError as error:
            self._note("bench", *explain(error, BenchOptions, table))
            return BenchOptions()

    def _device(self, name: str, table: dict[str, Any]) -> DeviceDeclaration | None:
        if not NAME.fullmatch(name):
            self._note(name, Complaint(path=(), message=f"can't be a device's name: {NAME_RULE}."))
        kind, driver = self._driver(name, table)
        if driver is None:
            return None
        options = self._options(name, kind, driver, {key: value for key, value in table.items() if key != "driver"})
        if options is None:
            return None
        return DeviceDeclaration(
            bench=self._path.stem,
            name=name,
            driver=self._chosen(name, kind, driver, simulate=options.simulate),
            kind=kind,
            options=options,
            line=self._positions.of((name,)).line,
        )

    def _driver(self, name: str, table: dict[str, Any]) -> tuple[str, type[Driver[Any]] | None]:
        kind = table.get("driver")
        if isinstance(kind, str) and kind in self._plugins.drivers:
            return kind, self._plugins.drivers[kind]
        if kind is None:
            complaint = _no_driver(name, table, self._plugins)
        elif isinstance(kind, str):
            complaint = _unknown_driver(kind, self._plugins)
        else:
            complaint = Complaint(path=("driver",), message=f"driver: must be text in quotes, not {as_toml(kind)}.")
        self._note(name, complaint)
        return "", None

    def _options(self, name: str, kind: str, driver: type[Driver[Any]], table: dict[str, Any]) -> DriverOptions | None:
        if self._simulate:
            table = {**table, "simulate": True}  # a driver may ask for less where nothing real has to be found
        try:
            return driver.Options.model_validate(table)
        except ValidationError as error:
            self._note(name, *explain(error, driver.Options, table))
            return None
        except Exception as error:  # an author's validator
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"the driver '{kind}' could not check its options: {cause}. This is a fault of the driver."
            self._note(name, Complaint(path=(), message=message))
            return None

    def _chosen(self, name: str, kind: str, driver: type[Driver[Any]], *, simulate: bool) -> type[Driver[Any]]:
        if not simulate:
            return driver
        if driver.simulated is not None:
            return driver.simulated
        what = f"simulate: the driver '{kind}' has no simulated twin."
        asked = "The whole lab was asked to be simulated." if self._simulate else "Take simulate out."
        self._note(name, Complaint(path=("simulate",), message=f"{what} {asked}"))
        return driver

    # -- problems ------------------------------------------------------------------------------------------------

    def _note(self, table: str, *complaints: Complaint) -> None:
        for complaint in complaints:
            path: KeyPath = (table, *complaint.path)
            place = self._positions.of(path)
            self._add(place, table, complaint.message, complaint.suggestion)

    def _note_file(self, message: str, place: Position | None = None) -> None:
        self._add(place or Position(line=1, column=1), "", message)

    def _add(self, place: Position, where: str, message: str, suggestion: str = "") -> None:
        self.problems.append(
            Problem(
                file=self._shown_path,
                line=place.line,
                column=place.column,
                where=where,
                message=message,
                suggestion=suggestion,
            )
        )


def _syntax(message: str, text: str) -> tuple[str, Position]:
    """Take tomllib's sentence apart: what it says, and where. Before Python 3.14 the place stands only in its text."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found is None:
        return f"not valid TOML: {message}.", Position(line=1, column=1)
    what, line, column = found.groups()
    if line is None:
        return f"not valid TOML: {what} at the end of the file.", Position(line=text.rstrip().count("\n") + 1, column=1)
    twice = re.fullmatch(r"Cannot declare \('(.*)',\) twice", what)
    sentence = f"[{twice[1]}] is declared twice in this file." if twice else f"not valid TOML: {what}."
    return sentence, Position(line=int(line), column=int(column))


def _no_driver(name: str, table: dict[str, Any], plugins: Plugins) -> Complaint:
    mistyped = next((key for key in table if nearest(key, ["driver"])), None)
    if mistyped is not None:
        return Complaint(path=(mistyped,), message=f"{mistyped}: unknown key.", suggestion="driver")
    if table and table.keys() <= BenchOptions.model_fields.keys():
        return Complaint(path=(), message="no driver is named here.", suggestion=nearest(name, ["bench"]))
    return Complaint(path=(), message=f"driver: missing key; it has to be given. Known drivers: {_kinds(plugins)}.")


def _unknown_driver(kind: str, plugins: Plugins) -> Complaint:
    message = f"driver: there is no driver '{kind}'. Known drivers: {_kinds(plugins)}."
    suggestion = nearest(kind, plugins.drivers)
    named = [one for one in plugins.broken if _may_bring(one, kind)]
    for broken in named or ([] if suggestion else plugins.broken):
        message += f" Plugin '{broken.name}' ({broken.origin}) may bring it but is broken: {broken.error}"
    return Complaint(path=("driver",), message=message, suggestion="" if named else suggestion)


def _may_bring(broken: BrokenPlugin, kind: str) -> bool:
    return kind in broken.name or kind in broken.error


def _kinds(plugins: Plugins) -> str:
    return ", ".join(sorted(plugins.drivers)) or "none"
