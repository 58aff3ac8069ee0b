"""The import contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None, no_cache=True))"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the tree in `folder`, whichever labkit is installed."""
    source = f"import sys; sys.path.insert(0, {str(folder)!r})\n{LINT}"
    command = [sys.executable, "-P", "-c", source]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_every_module_imports_only_from_the_floors_below(root: Path) -> None:
    checked = lint_imports(root)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("labkit/errors.py", "import labkit.clock", "floors below"),
        ("labkit/threads.py", "import labkit.store", "floors below"),
        ("labkit/attic.py", "", "floors below"),
        ("labkit/wire.py", "import labkit_plugins.serial", "never imports the plugins"),
        ("labkit_plugins/attic.py", "import labkit.wire", "labkit.plugin and nothing else"),
        ("labkit/clock.py", "import redis", "Only labkit.store"),
    ],
)
def test_an_import_from_the_wrong_floor_is_noticed(
    root: Path, tmp_path: Path, module: str, line: str, contract: str
) -> None:
    shutil.copy(root / "pyproject.toml", tmp_path)
    for package in ("labkit", "labkit_plugins"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    plain = re.sub(r"\x1b\[[0-9;]*m", "", checked.stdout)  # older ones always write in colours
    broken = [text for text in plain.splitlines() if " BROKEN" in text]
    assert any(contract in text for text in broken), checked.stdout
