"""What the machines have tried is said at the end of a run of theirs (`make test-search`)."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter

from tests.model.lab import TRIED


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, said in getattr(report, "user_properties", ()):
                if name == TRIED:
                    terminalreporter.write_line(said)
