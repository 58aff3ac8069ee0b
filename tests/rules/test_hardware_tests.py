"""`make test-hardware`: its tests stay out of all other runs, and it says clearly what it lacks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement


def run(root: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "LABKIT_HARDWARE"}
    return subprocess.run(
        command, cwd=root, env=kept | environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_nothing_of_them_is_collected_elsewhere(root: Path) -> None:
    there = list((root / "tests" / "hardware").glob("test_*.py"))
    assert len(there) >= 5
    done = run(root, sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "tests/hardware")
    assert re.search(r"no tests (collected|ran)", done.stdout), done.stdout


def test_missing_machine_is_named_with_the_way_to_say_where_it_is(root: Path) -> None:
    done = run(root, str(root / "tools" / "test-hardware"), HWVM="/nowhere", VENV=sys.prefix)
    assert done.returncode == 2
    assert "there is no /nowhere/build.sh" in done.stderr
    assert "HWVM=/path/to/hwvm make test-hardware" in done.stderr


def test_machine_gets_all_that_labkit_requires(root: Path) -> None:
    done = run(root, sys.executable, str(root / "tools" / "hardware_packages.py"))
    given = {Requirement(word).name for word in done.stdout.split()}
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {Requirement(line).name for line in (*project["dependencies"], *extras["gpio"], *extras["camera"])}
    assert wanted - given == set()
    assert "pytest" in given
