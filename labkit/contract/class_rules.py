"""Rules that can be seen on the class: nothing is opened. Each function is a rule; its docstring says what and why."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from labkit.contract.hands import RuleBroken
from labkit.contract.subject import Subject
from labkit.devices.driver_rules import faults_of
from labkit.errors import CommandError
from labkit.plugin import CommandSpec, commands_of, feeds_of

_IMPORT_SECONDS = 60.0
_CHILD = """
import importlib, json, os, sys, threading
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
import labkit.plugin, labkit.devices.plugins
def opened():
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(os.listdir("/proc/self/task"))
modules, before = set(sys.modules), opened()
if asked["file"]:
    labkit.devices.plugins.load_file(asked["file"])
else:
    importlib.import_module(asked["module"])
tops = {name.partition(".")[0] for name in set(sys.modules) - modules}
own = {asked["module"].partition(".")[0], *(name.partition(".")[0] for name in modules)}
foreign = sorted(top for top in tops - set(sys.stdlib_module_names) - own if not top.startswith("labkit_lab_"))
json.dump({"foreign": foreign, "opened": opened() != before}, sys.stdout)
"""


def follows_the_rules_of_a_driver_class(subject: Subject) -> None:
    """The class is one that labkit takes: a kind, options, its four methods, arguments that can be described, and a
    twin that has all that its driver has. Else the plugin is left out when the lab starts."""
    faults = faults_of(subject.declared)
    if faults:
        raise RuleBroken(" ".join(faults))


def says_what_everything_means(subject: Subject) -> None:
    """Driver, options, commands and feeds have a line of help each: that line is all that declarations, the page and
    `labkit driver doc` can show."""
    silent = list(_silent(subject))
    if silent:
        raise RuleBroken(f"Without help: {', '.join(silent)}.")


def _silent(subject: Subject) -> Iterator[str]:
    driver = subject.declared
    if not vars(driver).get("__doc__"):
        yield f"the class {driver.__name__} (a docstring)"
    yield from (f"option {name} (Field(description=...))" for name in _options_without_help(driver.Options))
    yield from (f"command {spec.name} (a docstring)" for spec in commands_of(driver).values() if not spec.help)
    yield from (f"feed {feed.name} (Feed(..., help=...))" for feed in feeds_of(driver).values() if not feed.help)


def _options_without_help(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if not field.description:
            yield name


def can_be_declared_without_its_library(subject: Subject) -> None:
    """Importing the plugin opens nothing, starts nothing and imports no library of the hardware: declarations are
    checked on machines that have neither. Import such a library in `open()`."""
    module = sys.modules[subject.declared.__module__]
    file = "" if _importable(subject.declared) else str(Path(inspect.getfile(subject.declared)).resolve())
    asked = {"module": module.__name__, "file": file, "path": sys.path}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps(asked), capture_output=True, text=True, timeout=_IMPORT_SECONDS, check=False,
    )  # fmt: skip
    if child.returncode != 0:
        why = child.stderr.strip().splitlines()[-1:]
        raise RuleBroken(f"{module.__name__} can't be imported in a fresh interpreter: {' '.join(why)}")
    found: dict[str, Any] = json.loads(child.stdout)
    if found["foreign"]:
        raise RuleBroken(
            f"Importing {module.__name__} imports {', '.join(found['foreign'])}. Import them in open(), and where only "
            "types need them, under `if TYPE_CHECKING:`."
        )
    if found["opened"]:
        raise RuleBroken(f"Importing {module.__name__} opens a file or starts a thread. Do that in open().")


def _importable(driver: type[Any]) -> bool:
    """Whether a fresh interpreter finds its module by name; a lab's own file it does not."""
    return driver.__module__ != "__main__" and not driver.__module__.startswith("labkit_lab_")


def checks_what_it_is_given(subject: Subject) -> None:
    """Each argument of a command has a type, so that labkit refuses a wrong one before it comes near the hardware."""
    faults = [fault for spec in subject.commands.values() for fault in _unchecked(spec)]
    if faults:
        raise RuleBroken(f"Nothing is checked of {', '.join(faults)}. Annotate it.")


def _unchecked(spec: CommandSpec) -> Iterator[str]:
    names = list(inspect.signature(spec.function).parameters)[1:]
    complaint = _complaint(spec, names)
    for name in names:
        if not re.search(rf"\b{name}[.:]", complaint):
            yield f"argument {name} of {spec.name}"


def _complaint(spec: CommandSpec, names: list[str]) -> str:
    """What labkit says to arguments that nobody can want."""
    try:
        spec.bind([], {name: _Nothing() for name in names})
    except CommandError as error:
        return str(error).rpartition(" It takes ")[0]
    return ""


class _Nothing:
    """What no command can want."""
