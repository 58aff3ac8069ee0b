"""What the wheel carries, and how the browser libraries come into it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hatch_build

IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["']([^"']*vendor/[^"']+)["']""")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all files in the wheel that this tree makes."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=100)
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as opened:
        return set(opened.namelist())


def test_wheel_carries_every_file_of_both_packages(wheel: set[str], own_files: list[Path], root: Path) -> None:
    ours = {str(path.relative_to(root)) for path in own_files}
    ours = {name for name in ours if name.startswith(("labkit/", "labkit_plugins/"))}
    assert ours - wheel == set()
    for part in ("labkit/py.typed", "labkit_plugins/py.typed"):
        assert part in wheel
    for kind in (".lua", ".html", ".js", ".css"):
        assert any(name.endswith(kind) for name in ours), kind


def test_wheel_carries_the_browser_libraries_and_their_licences(wheel: set[str]) -> None:
    assert {str(hatch_build.VENDOR / name) for name in hatch_build.FILES} - wheel == set()


def test_wheel_carries_the_demo_benches(wheel: set[str]) -> None:
    assert "labkit/cli/benches/bench-1.toml" in wheel


def test_wheel_carries_nothing_else(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"labkit", "labkit_plugins"}


def test_browser_libraries_are_those_of_the_lock(root: Path) -> None:
    assert hatch_build.is_current(root)


def test_every_library_that_a_page_loads_is_fetched(root: Path) -> None:
    static = root / "labkit" / "web" / "static"
    loaded = {
        (script.parent / name).resolve().relative_to(static / "vendor")
        for script in static.glob("**/*.js")
        for name in IMPORT.findall(script.read_text("utf-8"))
    }
    assert {str(name) for name in loaded} <= set(hatch_build.FILES)


def test_libraries_count_as_old_when_the_lock_changes(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / hatch_build.VENDOR, tmp_path / hatch_build.VENDOR)
    lock = (root / "package-lock.json").read_text()
    (tmp_path / "package-lock.json").write_text(lock)
    assert hatch_build.is_current(tmp_path)
    (tmp_path / "package-lock.json").write_text(lock + "\n")
    assert not hatch_build.is_current(tmp_path)


def test_failed_fetch_says_what_to_do_and_ends_the_build(root: Path, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", "README.md", *hatch_build.INPUTS):
        if (root / name).is_file():
            shutil.copy(root / name, tmp_path)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    npm = bin_folder / "npm"  # an npm without a network
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert built.returncode != 0
    assert "npm ended with status 1:\nnpm error network" in built.stdout + built.stderr
    assert "npm config get registry" in built.stdout + built.stderr


def test_installed_package_has_the_program_and_the_bundled_plugins() -> None:
    entries = importlib.metadata.distribution("labkit").entry_points
    assert {(entry.group, entry.name, entry.value) for entry in entries} >= {
        ("console_scripts", "labkit", "labkit.cli:main"),
        ("labkit", "serial", "labkit_plugins.serial"),
    }
