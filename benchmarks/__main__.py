"""`python -m benchmarks`: measure, print tables, keep JSON. Called by `make bench`; see README.md."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
from rich.console import Console

from benchmarks.report import Report
from benchmarks.scale import Scale

MEASURES = ("tasks", "views", "cleanup", "calls", "serial", "camera", "browsers", "idle", "start", "growth")
ENVIRONMENTS = Path(".bench")


@click.command()
@click.option("--quick", is_flag=True, help="Do everything once or so, to see that it works. Judges nothing.")
@click.option("--only", "names", multiple=True, type=click.Choice(MEASURES), help="Measure this; may be given again.")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Keep all figures in this file.")
def main(quick: bool, names: tuple[str, ...], file: Path | None) -> None:
    """Measure labkit beside its peers. Ends with 1 where a full run missed a bar."""
    console = Console()
    report = Report(quick)
    for name in names or MEASURES:
        console.print(f"Measuring {name} ...", style="dim")
        importlib.import_module(f"benchmarks.measures.{name}").measure(report, Scale(quick, ENVIRONMENTS))
    report.show(console)
    if file is not None:
        file.write_text(report.as_json())
    raise SystemExit(1 if report.missed else 0)


if __name__ == "__main__":
    main()
