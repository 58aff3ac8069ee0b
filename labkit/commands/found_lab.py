"""What a command needs of a lab that may be broken: its folders, its plugins. Used by `check` and `schema`.

Nothing is started and no declaration is read. Where the lab can't be loaded at all, the folders of the current one do.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.commands.failure import Failure, NoLabFailure, failures
from labkit.commands.source import LabSource, declarations_unread

if TYPE_CHECKING:
    from labkit.devices.plugins import Plugins
    from labkit.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FoundLab:
    """Where a lab's declarations and drivers lie, and how it reads them. trouble: why the lab itself can't be loaded;
    then there are no settings of it either.

    read_plugins: loads the drivers, which is done once and says nothing.
    """

    devices: Path
    drivers: Path
    simulate: bool
    machine: str
    trouble: str = ""
    settings: Settings | None = field(default=None, repr=False)
    read_plugins: Callable[[], Plugins] = field(repr=False)

    def plugins(self) -> Plugins:
        """The drivers, found without a word: whoever asks says what is broken."""
        with said_by_others():
            return self.read_plugins()


def find(source: LabSource | None, beside: Path | None = None) -> FoundLab:
    """Find the lab, or what lies beside it. beside: a folder of declarations, where its drivers are looked for if there
    is no lab. Errors: `Failure` where there is neither."""
    trouble = ""
    if source is not None:
        try:
            with failures(), declarations_unread(), contextlib.redirect_stderr(io.StringIO()):  # it is said below
                return _of_a_lab(source)
        except NoLabFailure:
            if beside is None:
                raise
        except Failure as error:
            trouble = error.message
            if beside is None and not _folder("DEVICES").is_dir():
                raise
    return _of_folders(beside, trouble)


def _of_a_lab(source: LabSource) -> FoundLab:
    lab = source.lab
    return FoundLab(
        devices=lab.devices_folder,
        drivers=lab.drivers_folder,
        simulate=lab.settings.simulate,
        machine=lab.settings.machine_name,
        settings=lab.settings,
        read_plugins=lambda: lab.plugins,
    )


def _of_folders(beside: Path | None, trouble: str) -> FoundLab:
    from labkit.devices.plugins import load_plugins
    from labkit.settings import read_settings

    names = ("LABKIT_SIMULATE", "LABKIT_MACHINE")
    settings = read_settings({name: os.environ[name] for name in names if os.environ.get(name)})
    here = beside.absolute().parent / "drivers" if beside is not None else None
    drivers = here if here is not None and here.is_dir() else _folder("DRIVERS")
    return FoundLab(
        devices=_folder("DEVICES"),
        drivers=drivers,
        simulate=settings.simulate,
        machine=settings.machine_name,
        trouble=trouble,
        read_plugins=lambda: load_plugins(drivers),
    )


def _folder(name: str) -> Path:
    return Path(os.environ.get(f"LABKIT_{name}") or name.lower())


@contextlib.contextmanager
def said_by_others() -> Iterator[None]:
    """In this block broken plugins are not logged, and what they print doesn't get into a command's own output."""
    log = logging.getLogger("labkit.plugins")
    log.addFilter(_nothing)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        log.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
