"""What a benchmark run makes of its figures: medians, quantiles, bars, tables, JSON."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from benchmarks.report import Report, number, quantile


def shown(report: Report) -> str:
    text = io.StringIO()
    report.show(Console(file=text, width=120))
    return text.getvalue()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([1.0], 0.99, 1.0), (range(1, 101), 0.99, 99), (range(1, 101), 0.5, 50), ([3, 1, 2], 1.0, 3), ([3, 1, 2], 0.0, 1)],
)
def test_quantile_is_a_value_that_was_seen(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.000123, "0.000123"),
        (0.25, "0.250"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (99.99, "100.0"),
        (4242, "4,242"),
    ],
)
def test_number_has_the_digits_that_say_something(value: float, text: str) -> None:
    assert number(value) == text


def test_times_are_a_median_and_a_p99_in_ms() -> None:
    figure = Report(quick=False).times("calls", "labkit", [0.001, 0.003, 0.002])
    assert (figure.value, figure.p99, figure.count, figure.unit) == (2.0, 3.0, 3, "ms")


def test_bar_is_missed_on_its_own_side_only() -> None:
    report = Report(quick=False)
    report.at_most("calls", "low enough", 1.0, 1.0)
    report.at_most("calls", "too high", 1.1, 1.0)
    report.at_least("tasks", "high enough", 1.0, 1.0)
    report.at_least("tasks", "too low", 0.9, 1.0)
    assert [bar.what for bar in report.missed] == ["too high", "too low"]
    assert "misses too high: 1.10 x (<= 1.00 x)" in shown(report)
    assert "holds  high enough: 1.00 x (>= 1.00 x)" in shown(report)


def test_quick_run_judges_nothing() -> None:
    report = Report(quick=True)
    report.at_most("calls", "too high", 2.0, 1.0)
    assert report.missed == []
    assert "misses" not in shown(report)


def test_tables_name_everybody_and_what_was_left_out() -> None:
    report = Report(quick=False)
    report.times("calls", "labkit", [0.001])
    report.figure("calls", "huey", 2.5, "ms", note="over TCP")
    report.leave_out("rq", "not installed")
    text = shown(report)
    assert all(word in text for word in ("labkit", "huey", "over TCP", "Left out: rq: not installed"))


def test_json_has_every_figure_bar_and_the_machine() -> None:
    report = Report(quick=False)
    report.figure("calls", "labkit", 2.5, "ms")
    report.at_most("calls", "low enough", 1.0, 2.0)
    kept = json.loads(report.as_json())
    assert kept["figures"][0] == {
        "measure": "calls", "who": "labkit", "value": 2.5, "unit": "ms", "p99": None, "count": 1, "note": "",
    }  # fmt: skip
    assert kept["bars"][0]["holds"] is True
    assert kept["machine"]["cores"] >= 1
