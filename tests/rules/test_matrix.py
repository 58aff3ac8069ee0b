"""`make test-matrix` tries what pyproject.toml promises, and nothing that it could not try goes by unsaid."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.oldest_versions import NoLowerBoundError, bounds, direct, highest, requirements_in

PROGRAMS = ("sh", "cat", "cp", "date", "dirname", "id", "ls", "mkdir", "rm", "sed", "tail", "tee", "tr")

# Stands where an interpreter is looked for: the one of this run, but for what would take minutes.
PYTHON = """\
#!/bin/sh
case "$2" in
    venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    pip) exit {pip} ;;
    pytest) shift 2; echo "pytest of {version} $*"; echo "===== {result} ====="; exit {pytest} ;;
    *platform*) echo {version}.7 ;;
    *'%d.%d'*) echo {version} ;;
    *) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """A tree with the tools, and a folder `bin` to be the whole PATH, without any Python yet."""
    shutil.copytree(root / "tools", tmp_path / "tools")
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path


def add_python(tree: Path, version: str, *, result: str = "3 passed in 0.1s", pytest: int = 0, pip: int = 0) -> None:
    file = tree / "bin" / f"python{version}"
    text = PYTHON.format(version=version, result=result, pytest=pytest, pip=pip, python=sys.executable)
    file.write_text(text)
    file.chmod(0o755)


def matrix(tree: Path, *arguments: str, only: str = "") -> subprocess.CompletedProcess[str]:
    """Run the matrix of `tree` with nothing but its own PATH."""
    environment = {"PATH": str(tree / "bin"), "HOME": str(tree), "MATRIX": only, "LANG": os.environ.get("LANG", "C")}
    command = [str(tree / "tools" / "test-matrix"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def rows(ran: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The table at the end: environment -> the rest of its row."""
    _, found, table = ran.stdout.partition("\nname ")
    assert found, ran.stdout + ran.stderr
    return {line.split()[0]: " ".join(line.split()[1:]) for line in table.splitlines()[1:]}


@pytest.fixture
def names(tree: Path) -> list[str]:
    """All environments, as the tool names them to somebody who asks for another one."""
    ran = matrix(tree, only="4.0-newest")
    assert ran.returncode == 2
    complaint, _, known = ran.stderr.partition("There are: ")
    assert "no environment 4.0-newest" in complaint
    return known.split()


def pythons(names: list[str], kind: str) -> list[str]:
    return [version for version, _, which in (name.partition("-") for name in names) if which == kind]


def project(root: Path) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def test_every_dependency_has_one_lower_bound(root: Path) -> None:
    requirements = [Requirement(line) for line in requirements_in(root / "pyproject.toml")]
    assert len(requirements) > 20
    for requirement in requirements:
        operators = [limit.operator for limit in requirement.specifier]
        assert operators.count(">=") == 1, requirement
        assert {*operators} <= {">=", "<", "!="}, requirement  # !=: one that is broken by itself


def test_constraints_are_the_lower_bounds(root: Path) -> None:
    requirements = [Requirement(line) for line in requirements_in(root / "pyproject.toml")]
    wanted = {
        (canonicalize_name(requirement.name), limit.version, str(requirement.marker))
        for requirement in requirements
        for limit in requirement.specifier
        if limit.operator == ">="
    }
    command = [sys.executable, str(root / "tools" / "oldest_versions.py")]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    written = set()
    for constraint in map(Requirement, printed.splitlines()):
        (limit,) = constraint.specifier
        assert limit.operator == "==", constraint
        written.add((canonicalize_name(constraint.name), limit.version, str(constraint.marker)))
    assert written == wanted


def test_constraints_for_an_installed_package_have_the_oldest_of_what_it_requires(root: Path) -> None:
    (werkzeug,) = [
        requirement
        for requirement in map(Requirement, importlib.metadata.requires("Flask") or ())
        if canonicalize_name(requirement.name) == "werkzeug"
    ]
    command = [sys.executable, str(root / "tools" / "oldest_versions.py"), "Flask"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    assert f"{werkzeug.name}{werkzeug.specifier}".replace(">=", "==") in printed.splitlines()


def test_dependency_without_a_lower_bound_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\ndependencies = ["one>=1", "two<3"]\n[project.optional-dependencies]\nx = ["three"]\n')
    with pytest.raises(NoLowerBoundError, match="no lower bound: two<3, three"):
        direct(file)


def test_highest_of_several_lower_bounds_counts() -> None:
    found = highest(bounds(["Some_Thing>=1.9", "some-thing[extra] (>=1.10,<2)", "other>=2; python_version < '3.12'"]))
    assert [str(bound) for bound in found] == ["other==2; python_version < '3.12'", "some-thing==1.10"]


def test_matrix_has_the_pythons_that_the_package_says_it_is_for(root: Path, names: list[str]) -> None:
    described = project(root)
    classifiers = described["classifiers"]
    assert isinstance(classifiers, list)
    named = [found[1] for line in classifiers if (found := re.fullmatch(r"Programming .* :: (3\.\d+)", line))]
    assert pythons(names, "newest") == named
    admitted = SpecifierSet(str(described["requires-python"]))
    assert str(admitted) == f">={named[0]}"
    assert [version for version in named if version not in admitted] == []


def test_oldest_packages_are_tried_with_the_oldest_and_the_newest_python(names: list[str]) -> None:
    newest = sorted(pythons(names, "newest"), key=Version)
    assert pythons(names, "oldest") == [newest[0], newest[-1]]


def test_readme_names_the_pythons_and_only_environments_that_exist(root: Path, names: list[str]) -> None:
    text = " ".join((root / "README.md").read_text("utf-8").split())
    *most, last = pythons(names, "newest")
    assert f"with Python {', '.join(most)} and {last}" in text
    (shown,) = re.findall(r'MATRIX="([^"]+)"', text)
    assert {*shown.split()} <= {*names}


def test_every_environment_is_run_and_the_table_says_how_it_went(tree: Path, names: list[str]) -> None:
    for version in pythons(names, "newest"):
        add_python(tree, version)
    ran = matrix(tree, "-k", "two words")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert list(rows(ran)) == names
    flask = importlib.metadata.version("Flask")
    for name, row in rows(ran).items():
        version = name.partition("-")[0]
        assert re.fullmatch(rf"{version}\.7 {re.escape(flask)} \d+ 3 passed in 0\.1s", row), row
        assert f"pytest of {version} -k two words" in ran.stdout


def test_failure_is_shown_at_the_end_and_stops_no_other_environment(tree: Path) -> None:
    add_python(tree, "3.11")
    add_python(tree, "3.12", result="1 failed, 2 passed in 0.1s", pytest=1)
    add_python(tree, "3.13", pip=1)
    ran = matrix(tree)
    table = rows(ran)
    assert ran.returncode == 1
    assert table["3.11-newest"].endswith(" 3 passed in 0.1s")
    assert table["3.12-newest"].endswith(" FAILED: 1 failed, 2 passed in 0.1s")
    assert table["3.13-newest"].endswith(" FAILED: can't be installed")
    assert table["3.11-oldest"].endswith(" 3 passed in 0.1s")
    assert "Failed: 3.12-newest 3.13-newest 3.13-oldest" in ran.stderr


def test_python_that_is_not_here_is_named_and_makes_it_fail(tree: Path) -> None:
    add_python(tree, "3.11")
    add_python(tree, "3.13")
    (tree / "bin" / "python3.13").rename(tree / "bin" / "python3.12")  # a name alone is not believed
    ran = matrix(tree, only="3.12-newest 3.11-newest")
    assert ran.returncode == 1
    assert rows(ran)["3.12-newest"].endswith(" FAILED: there is no Python 3.12 here")
    assert rows(ran)["3.11-newest"].endswith(" 3 passed in 0.1s")


def test_chosen_environments_are_run_and_no_others(tree: Path) -> None:
    add_python(tree, "3.13")
    ran = matrix(tree, only="3.13-oldest")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert list(rows(ran)) == ["3.13-oldest"]
    constraints = (tree / ".matrix" / "3.13-oldest.txt").read_text().splitlines()
    assert "Flask==3.0" in constraints


def test_python_of_pyenv_is_found(tree: Path) -> None:
    add_python(tree, "3.12")
    folder = tree / ".pyenv" / "versions" / "3.12.7" / "bin"
    folder.mkdir(parents=True)
    (tree / "bin" / "python3.12").rename(folder / "python")
    assert matrix(tree, only="3.12-newest").returncode == 0
