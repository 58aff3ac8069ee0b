"""The files of a new driver: which ones, where, and what is in them. Used by `driver new`.

They are in `templates/`, with `{{name}}` and its like where a name belongs. Nothing is overwritten.
"""

from __future__ import annotations

import importlib.metadata
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.commands.failure import MISCONFIGURED, Failure
from labkit.devices.driver_rules import NAME, NAME_RULE

TEMPLATES = Path(__file__).parent / "templates"
_HOLE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """One file: where it goes, from which template, and what it is, for people."""

    path: Path
    template: str
    what: str


@dataclass(frozen=True, kw_only=True)
class NewDriver:
    """All files of a new driver, and the words that stand in them."""

    name: str
    package: bool
    files: tuple[NewFile, ...]
    words: Mapping[str, str]


def plan(name: str, known: Mapping[str, str], *, folder: Path, package: bool) -> NewDriver:
    """Say what is to be made. known: where the drivers come from that there are already, by kind. folder: that of the
    lab's drivers, or the one in which the package is made. Errors: `Failure`."""
    check_name(name, known)
    module = name.replace("-", "_")
    words = {
        "name": name,
        "Class": "".join(part.capitalize() for part in re.split("[-_]", name)),
        "module": module,
        "version": importlib.metadata.version("labkit"),
    }
    return _package(name, folder, words) if package else _beside_a_lab(name, folder, words)


def check_name(name: str, known: Mapping[str, str]) -> None:
    """Errors: `Failure` for a name that no driver can have, or that one has."""
    if not NAME.fullmatch(name) or not name[0].isalpha() or name.endswith(("-", "_")):
        raise Failure(
            f"A driver can't be called '{name}': {NAME_RULE}; a driver's begins with a letter and ends with a letter "
            "or digit.",
            code=MISCONFIGURED,
        )
    if keyword.iskeyword(name):
        raise Failure(f"A driver can't be called '{name}': that is a word of Python.", code=MISCONFIGURED)
    if name in known:
        raise Failure(f"There is a driver '{name}' already, from {known[name]}. Choose another name.")


def _beside_a_lab(name: str, drivers: Path, words: dict[str, str]) -> NewDriver:
    module = words["module"]
    words |= {
        "panel": f"{module}.js",
        "place": f"{drivers.absolute().name}/{module}.py",
        "imports": "from pathlib import Path\n",
        "from_contract": "DriverContract, load_file",
        "the_driver": f'\ndriver = load_file(Path(__file__).parents[1] / "{drivers.absolute().name}" / "{module}.py")',
    }
    files = (
        NewFile(path=drivers / f"{module}.py", template="driver.py", what="the driver, its options and its twin"),
        NewFile(path=drivers / f"{module}.js", template="panel.js", what="its panel on the page"),
        NewFile(
            path=drivers.absolute().parent / "tests" / f"test_{module}.py",
            template="test_driver.py",
            what="its tests, with the driver contract",
        ),
    )
    return NewDriver(name=name, package=False, files=files, words=words)


def _package(name: str, folder: Path, words: dict[str, str]) -> NewDriver:
    package = f"labkit_{words['module']}"
    words |= {
        "panel": "panel.js",
        "package": package,
        "distribution": f"labkit-{name.replace('_', '-')}",
        "place": "the driver",
        "imports": "",
        "from_contract": "DriverContract",
        "the_driver": f"from {package} import driver",
    }
    top = folder / words["distribution"]
    source = top / "src" / package
    files = (
        NewFile(path=top / "pyproject.toml", template="pyproject.toml", what="the package, and how labkit finds it"),
        NewFile(path=top / "README.md", template="README.md", what="what it is, and how to work on it"),
        NewFile(path=source / "__init__.py", template="init.py", what="its module"),
        NewFile(path=source / "driver.py", template="driver.py", what="the driver, its options and its twin"),
        NewFile(path=source / "panel.js", template="panel.js", what="its panel on the page"),
        NewFile(
            path=top / "tests" / "test_driver.py",
            template="test_driver.py",
            what="its tests, with the driver contract",
        ),
    )
    return NewDriver(name=name, package=True, files=files, words=words)


def write(made: NewDriver) -> Iterator[tuple[Path, str]]:
    """Write all files, or none; each with what it is. Errors: `Failure` where one is there already."""
    there = [str(_from_here(file.path)) for file in made.files if file.path.exists()]
    if there:
        raise Failure(f"Nothing was made: {', '.join(there)} exists already. Move it away, or choose another name.")
    for file in made.files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(filled(file.template, made.words), "utf-8")
        yield _from_here(file.path), file.what


def filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its words."""
    text = (TEMPLATES / f"{template}.txt").read_text("utf-8")
    return _HOLE.sub(lambda hole: words[hole[1]], text)


def next_steps(made: NewDriver) -> str:
    """What to do with it."""
    name, driver = made.name, next(file.path for file in made.files if file.template == "driver.py")
    install = (
        f"  pip install --editable {made.words['distribution']}   so that labkit finds it\n" if made.package else ""
    )
    return f"""\
It works already, on its twin:
{install}  labkit driver test {name}    the driver contract
  labkit driver doc {name}     what a declaration of it may say

Declare one in devices/bench-1.toml, and start the lab by `labkit run`:

  [{name}]
  driver = "{name}"
  simulate = true

Then put your device in: class Wire in {_from_here(driver)}."""


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path
