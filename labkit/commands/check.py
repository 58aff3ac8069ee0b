"""`check`: everything that is wrong with the declarations, each with its line and a caret, and with the store that the
lab names. Starts nothing, and opens no device."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labkit.commands.check_store import about_the_store
from labkit.commands.failure import MISCONFIGURED, LabCommand
from labkit.commands.source import LabSource

if TYPE_CHECKING:
    from labkit.commands.found_lab import FoundLab
    from labkit.devices.declaration import Checked
    from labkit.devices.plugins import Plugins
    from labkit.devices.problems import Problem


@click.command(cls=LabCommand)
@click.argument("paths", nargs=-1, metavar="[FILE|FOLDER]...", type=click.Path(exists=True, path_type=Path))
@click.option("--strict", is_flag=True, help="Take warnings for problems: fail where there are any.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list with an object for each finding.")
@click.pass_context
def check(context: click.Context, paths: Sequence[Path], strict: bool, as_json: bool) -> None:
    """Show all that is wrong with the declarations.

    Each problem comes with its line and, where there is one, the word that was probably meant. Without a
    FILE or FOLDER those of the lab, and the store that WEBLAB_REDIS_URL names is tried, too: whether it lets the lab do
    all that it has to, and forgets nothing. Needs neither the hardware nor the libraries of drivers nor a store. The
    exit code is 2 where there is a problem, 0 where there are warnings only.
    """
    from labkit.commands.found_lab import find

    folders = [path if path.is_dir() else path.parent for path in paths]
    lab = find(context.find_object(LabSource), beside=folders[0] if folders else None)
    if lab.trouble:
        click.echo(f"{click.style('Note:', fg='yellow')} the lab itself can't be loaded. {lab.trouble}", err=True)
    result = looked_at(lab, paths)
    if as_json:
        click.echo(json.dumps([as_object(one) for one in result.findings], indent=2))
    else:
        show(result, lab)
    if result.problems or (strict and result.findings):
        context.exit(MISCONFIGURED)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was found in all folders that were looked at, and how much that was."""

    findings: Sequence[Problem]
    benches: int
    devices: int

    @property
    def problems(self) -> int:
        return sum(one.severity == "problem" for one in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.problems


def looked_at(lab: FoundLab, paths: Sequence[Path]) -> Result:
    """Check what was asked for: each folder for itself, and a file beside those of its folder."""
    from labkit.devices.declaration import check_declarations

    plugins = lab.plugins()
    findings: list[Problem] = [*broken(plugins), *(about_the_store(lab.settings) if not paths else ())]
    checks: list[Checked] = []
    for folder, files in grouped(paths or [lab.devices]).items():
        done = check_declarations(
            folder, plugins, simulate=lab.simulate, machine=lab.machine, only=files, shown=from_here
        )
        checks.append(done)
        findings += [*done.findings, *unused(folder, done, files)]
    return Result(
        findings=findings, benches=sum(done.files for done in checks), devices=sum(done.devices for done in checks)
    )


def grouped(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """The folders to look at, each with the files of it that are wanted; [] for all."""
    wanted: dict[Path, list[Path]] = {}
    whole = {path for path in paths if path.is_dir() or not path.exists()}
    for path in paths:
        folder = path if path in whole else path.parent
        files = wanted.setdefault(folder, [])
        if folder not in whole:
            files.append(path)
    return wanted


def broken(plugins: Plugins) -> Iterator[Problem]:
    """Plugins that were left out: one of them may be why a driver is unknown."""
    for plugin in plugins.broken:
        yield warning(plugin.origin, f"plugin '{plugin.name}' is broken and was left out: {plugin.error}")


def unused(folder: Path, done: Checked, wanted: Sequence[Path]) -> Iterator[Problem]:
    """What is no mistake, and can hardly be meant: benches without devices, files that nobody reads."""
    from labkit.devices.unread import unread_benches

    for bench in done.benches:
        if not bench.devices:
            yield warning(from_here(bench.file), "no device is declared here.")
    for path in unread_benches(folder) if not wanted else ():
        yield warning(from_here(path), "is not read: the name of a bench's file ends in .toml.")


def warning(file: str, message: str) -> Problem:
    from labkit.devices.problems import Problem, Severity

    return Problem(file=file, line=0, column=0, where="", message=message, severity=Severity.WARNING)


def from_here(path: Path) -> str:
    """How a file is called to somebody in this folder."""
    here = Path.cwd()
    return str(path.absolute().relative_to(here)) if path.absolute().is_relative_to(here) else str(path)


def show(result: Result, lab: FoundLab) -> None:
    from labkit.commands.drawing import drawn, styled

    for finding in result.findings:
        click.echo(drawn(finding) + "\n")
    color = "red" if result.problems else "yellow" if result.warnings else "green"
    click.echo(styled(summary(result, lab), fg=color, bold=True))


def summary(result: Result, lab: FoundLab) -> str:
    """The last line: what was looked at, and whether it is well."""
    if not result.benches and not result.findings:
        return f"No bench is declared in {from_here(lab.devices)}."
    looked = [count(result.benches, "bench", "benches")]
    if not result.problems:
        looked += [count(result.devices, "device"), *(["all simulated"] if lab.simulate else [])]
    numbers = ((result.problems, "problem"), (result.warnings, "warning"))
    bad = ", ".join(count(number, what) for number, what in numbers if number)
    return f"{', '.join(looked)}: {bad or 'all is well'}."


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def as_object(finding: Problem) -> dict[str, Any]:
    """A finding for programs; line and column are None where the file as a whole is meant."""
    return {
        "file": finding.file,
        "line": finding.line or None,
        "column": finding.column or None,
        "severity": str(finding.severity),
        "device": finding.where,
        "key": finding.key,
        "message": finding.message,
        "suggestion": finding.suggestion,
    }
