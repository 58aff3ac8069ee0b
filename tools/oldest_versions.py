"""Prints constraints for pip: each direct dependency, of the extras too, at the oldest version that labkit admits.

tools/test-matrix installs with them. Names of installed packages as arguments add what these require, also at its
oldest: with `Flask` the Werkzeug of its day, which an installation that is really old has. Of several lower bounds the
highest counts. Only `name>=version` is understood; other limits stay pip's business.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[[^]]*\])?(?P<limits>[^;]*)(?:;\s*(?P<marker>.*))?")
LOWER_BOUND = re.compile(r">=\s*([\d.]+\w*)")


class NoLowerBoundError(ValueError):
    """A direct dependency says nothing of its oldest version."""


@dataclass(frozen=True, kw_only=True)
class Oldest:
    """One package at its lower bound."""

    name: str
    version: str
    marker: str

    @property
    def place(self) -> tuple[str, str]:
        """What two bounds of the same package have in common, however they write its name."""
        return re.sub(r"[-_.]+", "-", self.name).lower(), self.marker

    @property
    def age(self) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", self.version)]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" + (f"; {self.marker}" if self.marker else "")


def main() -> None:
    installed = [line for name in sys.argv[1:] for line in required_by(name)]
    try:
        oldest = highest([*direct(PYPROJECT), *bounds(installed)])
    except NoLowerBoundError as error:
        sys.exit(str(error))
    sys.stdout.writelines(f"{bound}\n" for bound in oldest)


def direct(pyproject: Path) -> list[Oldest]:
    """Give the lower bound of each dependency that `pyproject` names. Errors: `NoLowerBoundError`."""
    requirements = requirements_in(pyproject)
    found = list(bounds(requirements))
    if len(found) != len(requirements):
        silent = [line for line in requirements if not list(bounds([line]))]
        raise NoLowerBoundError(f"{pyproject.name}: no lower bound: {', '.join(silent)}. Write name>=version.")
    return found


def requirements_in(pyproject: Path) -> list[str]:
    """Give what `pyproject` writes under dependencies, and in all its extras, but those that name extras of its own."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [line for line in lines if not line.startswith(f"{project.get('name')}[")]


def required_by(package: str) -> list[str]:
    """Give what an installed package requires, without its extras. Errors: `PackageNotFoundError`."""
    lines = importlib.metadata.requires(package) or []
    return [line for line in lines if "extra ==" not in line]


def bounds(requirements: Iterable[str]) -> Iterator[Oldest]:
    """Give the lower bounds of those that have one."""
    for line in requirements:
        parts = REQUIREMENT.fullmatch(line.strip())
        bound = LOWER_BOUND.search(parts["limits"]) if parts else None
        if parts and bound:
            yield Oldest(name=parts["name"], version=bound[1], marker=(parts["marker"] or "").strip())


def highest(found: Iterable[Oldest]) -> list[Oldest]:
    """Keep one bound for each package and marker, sorted."""
    kept: dict[tuple[str, str], Oldest] = {}
    for bound in found:
        known = kept.get(bound.place)
        if known is None or known.age < bound.age:
            kept[bound.place] = bound
    return [kept[place] for place in sorted(kept)]


if __name__ == "__main__":
    main()
