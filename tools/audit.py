"""Asks the world whether anything is known against what labkit installs: Python packages, and what its pages load.

Called by `make audit`, with the path of pip-audit, by the Python in which labkit is installed. Exit 0: both services
were asked, and know of nothing. 1: something is known. 2: one of them could not say; that is no success.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("gpio", "camera")
LIMIT = 300  # seconds for each service
CLEAN, KNOWN, UNKNOWN = 0, 1, 2


def resolved(name: str = "labkit", extras: tuple[str, ...] = EXTRAS) -> dict[str, str]:
    """What is installed because of a package: the version of each, that of the package itself left out."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(name, extras)]
    done = set()
    while waiting:
        one = waiting.pop()
        if one in done:
            continue
        done.add(one)
        try:
            here = distribution(one[0])
        except PackageNotFoundError:  # for other machines
            continue
        found[plain_name(one[0])] = here.version
        waiting += [
            (wanted.name, tuple(sorted(wanted.extras)))
            for wanted in map(Requirement, here.requires or ())
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *one[1]))
        ]
    found.pop(name)
    return found


def plain_name(name: str) -> str:
    """A package's name as PyPI spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def audit_python(pip_audit: str, pins: dict[str, str]) -> int:
    """Ask PyPI's service about Python packages. pip-audit ends well also where that knows none of them."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "resolved.txt"), Path(folder, "answer.json")
        asked.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--output={answer}"]
        text = run([pip_audit, "--requirement", str(asked), *options])
        try:
            told = [one for one in json.loads(answer.read_text())["dependencies"] if "vulns" in one]
        except (OSError, ValueError, KeyError, TypeError):
            return unknown("the Python packages", text)
    bad = [f"{one['name']} {one['version']}: {known['id']}" for one in told for known in one["vulns"]]
    untold = sorted({*pins} - {plain_name(one["name"]) for one in told})
    if untold and not bad:
        return unknown(f"{len(untold)} of {len(pins)} Python packages", ", ".join(untold))
    return verdict("Python packages", len(pins), bad)


def audit_browser() -> int:
    """Ask npm's registry about what the pages load."""
    npm = shutil.which("npm")
    if npm is None:
        return unknown("the browser libraries", "There is no npm here.")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(ROOT / name, folder)
        text = run([npm, "audit", "--json", "--package-lock-only", "--no-update-notifier"], folder)
    try:
        told = json.loads(text[text.index("{") : text.rindex("}") + 1])
        bad, count = sorted(told["vulnerabilities"]), told["metadata"]["dependencies"]["total"]
    except (ValueError, KeyError, TypeError):
        return unknown("the browser libraries", text)
    return verdict("browser libraries", count, bad)


def run(command: list[str], folder: str | None = None) -> str:
    """Run a program to its end; what it printed. Its exit code says less than that."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return f"{done.stdout}\n{done.stderr}"


def verdict(what: str, count: int, bad: list[str]) -> int:
    say("\n  ".join([f"{count} {what}: {'known against them' if bad else 'nothing is known against them'}", *bad]))
    return KNOWN if bad else CLEAN


def unknown(what: str, text: str) -> int:
    say("\n  ".join([f"Nobody could say anything of {what}:", *text.strip().splitlines()[-4:]]))
    return UNKNOWN


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    answers = [audit_python(sys.argv[1], resolved()), audit_browser()]
    if UNKNOWN in answers:
        say("It is not known whether labkit's dependencies are sound. Ask where those services can be reached.")
    return KNOWN if KNOWN in answers else max(answers)


if __name__ == "__main__":
    sys.exit(main())
