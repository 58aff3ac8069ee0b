"""Declarations: the files of `devices/`, read and checked against the drivers. Used by the catalog and `labkit check`.

A file is a bench and its name is the file's; the table `[bench]` describes it, and each other table is a device with
its driver and the driver's options. All mistakes of all files are found at once. Nothing here opens a device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.devices.bench import BenchDeclaration, BenchOptions, DeviceDeclaration
from labkit.devices.bench_file import BenchFile
from labkit.devices.clashes import note_clashes, note_doubts
from labkit.devices.plugins import Plugins
from labkit.devices.problems import Problem, Severity
from labkit.errors import DeclarationError

__all__ = [
    "BenchDeclaration",
    "BenchOptions",
    "Checked",
    "DeviceDeclaration",
    "Problem",
    "check_declarations",
    "read_declarations",
]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check found. benches: those without fault. findings: problems and warnings by file and line. files and
    devices: how many were looked at."""

    benches: list[BenchDeclaration]
    findings: list[Problem]
    files: int
    devices: int

    @property
    def problems(self) -> list[Problem]:
        return [one for one in self.findings if one.severity is Severity.PROBLEM]

    @property
    def warnings(self) -> list[Problem]:
        return [one for one in self.findings if one.severity is Severity.WARNING]

    def accepted(self) -> Checked:
        """Return this. Errors: `DeclarationError` with every problem of every file."""
        if self.problems:
            raise DeclarationError([str(problem) for problem in self.problems])
        return self


def read_declarations(folder: Path, plugins: Plugins, *, simulate: bool = False) -> list[BenchDeclaration]:
    """Return all benches, bench-2 before bench-10; none where the folder does not exist.

    simulate: use every driver's twin. Errors: `DeclarationError` with every problem of every file.
    """
    return check_declarations(folder, plugins, simulate=simulate).accepted().benches


def in_its_folder(path: Path) -> str:
    """How messages of a lab call a file: `devices/bench-1.toml`."""
    return f"{path.parent.absolute().name}/{path.name}"


def check_declarations(
    folder: Path,
    plugins: Plugins,
    *,
    simulate: bool = False,
    machine: str | None = None,
    only: Collection[Path] = (),
    shown: Callable[[Path], str] = in_its_folder,
) -> Checked:
    """Read all files of a folder, each for itself and beside the others.

    machine: the one that asks; of benches that name another one, secrets need not be here. only: files whose findings
    are wanted, all where it is empty; the others are read for what they take, and come first. shown: how a file is
    called.
    """
    wanted = [path.absolute() for path in only]
    paths = {path.absolute(): path for path in (*_files(folder), *only)}
    order = sorted(paths, key=lambda path: (path in wanted, _natural(path.stem)))
    files = []
    for path in order:
        rivals = [other for other in order if other != path and other.stem == path.stem.lower()]
        rival = shown(paths[rivals[0]]) if rivals else ""
        shown_path = shown(paths[path])
        files.append(
            BenchFile(paths[path], plugins, shown_path=shown_path, simulate=simulate, machine=machine, rival=rival)
        )
    benches = [file.read() for file in files]
    note_doubts(files)
    note_clashes(file for file in files if not file.rival)  # that one is a copy under nearly the same name
    asked = [file for path, file in zip(order, files, strict=True) if path in wanted or not wanted]
    return Checked(
        benches=[bench for bench, file in zip(benches, files, strict=True) if file in asked and file.good],
        findings=[finding for file in asked for finding in file.findings()],
        files=len(asked),
        devices=sum(len(file.devices) for file in asked),
    )


def _files(folder: Path) -> Iterable[Path]:
    """Editors leave hidden files behind; those are nobody's bench."""
    return (path for path in folder.glob("*.toml") if not path.name.startswith(".")) if folder.is_dir() else ()


def _natural(name: str) -> tuple[list[str | int], str]:
    """Order by the numbers in a name as numbers. Text and numbers alternate, so that like is compared with like."""
    parts = re.split(r"([0-9]+)", name)  # not by `isdecimal`, which knows the digits of all scripts
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name
