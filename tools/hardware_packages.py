"""Prints what must be installed beside labkit in the machine of tools/test-hardware, as words for pip on one line.

All that labkit requires there, with its extras, and the few packages of the test extra that tests/hardware uses.
Used by tools/test-hardware; needs the `packaging` package, which pytest brings.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
THERE = {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11"}
TESTING = {"pytest", "pytest-timeout", "python-socketio"}
ASKED_FOR_BY_OTHERS = ("async-timeout>=4.0.3",)
"""redis needs it with the machine's Python 3.11.2; pip downloads for the Python that it runs in, mostly a newer one."""


def main() -> None:
    sys.stdout.write(" ".join(dict.fromkeys([*wanted(), *ASKED_FOR_BY_OTHERS])) + "\n")


def wanted() -> Iterator[str]:
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["gpio"], *extras["camera"]]:
        yield from word(Requirement(line))
    for requirement in map(Requirement, extras["test"]):
        if requirement.name in TESTING:
            yield from word(requirement)


def word(requirement: Requirement) -> Iterator[str]:
    """The requirement without blanks, where it counts in the machine."""
    if requirement.marker is None or requirement.marker.evaluate(THERE):
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        yield f"{requirement.name}{extras}{str(requirement.specifier).replace(' ', '')}"


if __name__ == "__main__":
    main()
