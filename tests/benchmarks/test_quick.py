"""Every measure of the benchmarks still works. What it measures here is not judged: other tests run beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import MEASURES

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(320)  # the program has its own limit
@pytest.mark.parametrize("name", MEASURES)
def test_measure_finds_figures(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", name, "--json", str(tmp_path / "kept.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert kept["quick"] is True
    # a difference of two figures may be anything: each was measured a time or two
    assert all(figure["value"] >= 0 for figure in kept["figures"] if "beyond" not in figure["who"] + figure["note"])
    assert kept["figures"]
    assert kept["bars"]


def test_unknown_measure_is_named_with_those_that_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'nonsense'" in done.stderr
    assert all(name in done.stderr for name in MEASURES)
