"""Figures and bars of one run: shown as tables, kept as JSON. Filled by the measures, printed by `benchmarks.__main__`.

A figure is what was measured, of somebody. A bar is what labkit must reach: a ratio of two figures of the same run, or
a figure itself. Bars are judged in a full run and only shown in a quick one.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """unit: of value and p99. p99: None where a single figure says it all. count: measured so often."""

    measure: str
    who: str
    value: float
    unit: str
    p99: float | None = None
    count: int = 1
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """limit: what value must not exceed, or, where at_least, must reach."""

    measure: str
    what: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Report:
    """Everything that one run found."""

    quick: bool
    figures: list[Figure] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def figure(
        self,
        measure: str,
        who: str,
        value: float,
        unit: str,
        *,
        p99: float | None = None,
        count: int = 1,
        note: str = "",
    ) -> Figure:
        """Keep one figure."""
        made = Figure(measure, who, value, unit, p99, count, note)
        self.figures.append(made)
        return made

    def times(self, measure: str, who: str, seconds: Sequence[float], *, note: str = "") -> Figure:
        """Keep what something took, many times: the median and p99, in ms."""
        return self.figure(
            measure, who, statistics.median(seconds) * 1e3, "ms",
            p99=quantile(seconds, 0.99) * 1e3, count=len(seconds), note=note,
        )  # fmt: skip

    def at_most(self, measure: str, what: str, value: float, limit: float, unit: str = "x") -> None:
        """labkit must not exceed a limit. unit 'x': a ratio."""
        self.bars.append(Bar(measure, what, value, limit, unit))

    def at_least(self, measure: str, what: str, value: float, limit: float, unit: str = "x") -> None:
        """labkit must reach a limit."""
        self.bars.append(Bar(measure, what, value, limit, unit, at_least=True))

    def leave_out(self, what: str, why: str) -> None:
        """Say what was not measured."""
        self.left_out.append(f"{what}: {why}")

    @property
    def missed(self) -> list[Bar]:
        """The bars that were missed; a quick run judges none."""
        return [] if self.quick else [bar for bar in self.bars if not bar.holds]

    def show(self, console: Console) -> None:
        """Print a table of figures for each measure, and below it its bars."""
        for measure in dict.fromkeys([*(f.measure for f in self.figures), *(b.measure for b in self.bars)]):
            self._show_figures(console, measure)
            self._show_bars(console, measure)
        for line in self.left_out:
            console.print(f"Left out: {line}", highlight=False, markup=False)

    def _show_figures(self, console: Console, measure: str) -> None:
        table = Table(title=measure, title_justify="left", title_style="bold")
        table.add_column("who")
        for heading in ("median", "p99", "n"):
            table.add_column(heading, justify="right")
        table.add_column("note")
        for figure in (f for f in self.figures if f.measure == measure):
            p99 = "" if figure.p99 is None else number(figure.p99)
            table.add_row(figure.who, f"{number(figure.value)} {figure.unit}", p99, f"{figure.count}", figure.note)
        if table.row_count:
            console.print(table)

    def _show_bars(self, console: Console, measure: str) -> None:
        for bar in (b for b in self.bars if b.measure == measure):
            word = "" if self.quick else "[green]holds [/]" if bar.holds else "[red]misses[/]"
            limit = f"{'>=' if bar.at_least else '<='} {number(bar.limit)} {bar.unit}"
            console.print(f"  {word} {bar.what}: {number(bar.value)} {bar.unit} ({limit})", highlight=False)

    def as_json(self) -> str:
        """All of it, with what the machine is."""
        facts: dict[str, Any] = {"quick": self.quick, "machine": machine(), "left_out": self.left_out}
        facts["figures"] = [asdict(figure) for figure in self.figures]
        facts["bars"] = [asdict(bar) | {"holds": bar.holds} for bar in self.bars]
        return json.dumps(facts, indent=1)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"python": platform.python_version(), "system": platform.platform(), "cores": len(os.sched_getaffinity(0))}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def number(value: float) -> str:
    """A figure with three digits that say something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
