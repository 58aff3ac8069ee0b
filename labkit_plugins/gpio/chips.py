"""The GPIO chips of this machine: finding the declared one, saying what is there, and what permission is missing.

Used by `kernel.py` to open lines, and by `labkit devices scan`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.plugin import DeviceOfflineError, Found
from labkit_plugins.permission import forbidden, missing_permission

_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A chip of this machine. label and count are unknown ('' and 0) where this user may not open it."""

    path: str
    label: str = ""
    count: int = 0
    forbidden: bool = False

    @property
    def name(self) -> str:
        """As the kernel calls it: gpiochip0."""
        return os.path.basename(self.path)

    def __str__(self) -> str:
        known = "this user may not open it" if self.forbidden else f'label "{self.label}", {self.count} lines'
        return f"{self.path} ({known})"


class Chips:
    """The chips in `folder`, by gpiod. Tests without a chip give an `api` with the same surface."""

    def __init__(self, api: Any = None, folder: Path = Path("/dev")):
        if api is None:
            import gpiod

            api = gpiod
        self.api = api
        self._folder = folder

    def here(self) -> list[Chip]:
        """Every chip, in the order of their numbers; second names of a chip (links) are left out."""
        paths = [path for path in self._folder.glob("gpiochip*") if not path.is_symlink()]
        return [chip for path in sorted(paths, key=_natural) if (chip := self._look(str(path))) is not None]

    def find(self, wanted: str, device: str) -> Chip:
        """The declared chip. Errors: `DeviceOfflineError`: not there (naming what is), forbidden, or several fit."""
        if "/" in wanted:
            return self._at(wanted, device)
        there = self.here()
        fitting = [chip for chip in there if wanted in (chip.label, chip.name)]
        if not fitting:
            raise self._absent(f'A chip with the label "{wanted}"', device, there)
        if len(fitting) > 1:
            raise DeviceOfflineError(
                f"{len(fitting)} chips have the label \"{wanted}\" of '{device}': {_listed(fitting)}. "
                "Say the path of one, best a link that a udev rule makes.",
                device=device,
            )
        if fitting[0].forbidden:
            raise forbidden(fitting[0].path, device)
        return fitting[0]

    def scan(self) -> list[Found]:
        """What `labkit devices scan` shows."""
        there = self.here()
        labels = [chip.label for chip in there]
        return [self._found(chip, alone=labels.count(chip.label) == 1) for chip in there]

    def _at(self, path: str, device: str) -> Chip:
        chip = self._look(path)
        if chip is None:
            what = "is no GPIO chip" if os.path.exists(path) else ""
            raise self._absent(f"Chip {path}", device, self.here(), what)
        if chip.forbidden:
            raise forbidden(path, device)
        return chip

    def _absent(self, what: str, device: str, there: Iterable[Chip], why: str = "is not there") -> DeviceOfflineError:
        hidden = [chip for chip in there if chip.forbidden]
        remedy = f" {missing_permission(hidden[0].path).remedy}, to see all." if hidden else ""
        return DeviceOfflineError(
            f"{what} of '{device}' {why or 'is not there'}. Chips of this machine: {_listed(there)}.{remedy} "
            "Plug it in, or correct the declaration; it is tried again by itself.",
            device=device,
        )

    def _look(self, path: str) -> Chip | None:
        """The chip at a path; None where there is none (any more)."""
        try:
            with self.api.Chip(path) as chip:
                info = chip.get_info()
                return Chip(path=path, label=info.label, count=info.num_lines)
        except PermissionError:
            return Chip(path=path, forbidden=True)
        except OSError:
            return None

    def _found(self, chip: Chip, *, alone: bool) -> Found:
        if chip.forbidden:
            missing = missing_permission(chip.path)
            return Found(path=chip.path, title=chip.name, trouble=missing.trouble, remedy=f"{missing.remedy}.")
        lines = self._lines(chip)
        used = [f"{line.offset} ({line.consumer or 'the kernel'})" for line in lines if line.used]
        named = [f"{line.offset} {line.name}" for line in lines if line.name]
        facts = {"lines": str(chip.count), "in use": _shortened(used) or "none", "named": _shortened(named) or "none"}
        free = next((line for line in lines if not line.used), None)
        example = {} if free is None else {_word(free.name, free.offset): {"line": free.offset, "direction": "in"}}
        options = {"chip": chip.label if alone and chip.label else chip.path, "lines": example}
        nothing_free = {} if example else {"trouble": "all of its lines are in use"}
        return Found(path=chip.path, title=chip.label or chip.name, facts=facts, options=options, **nothing_free)

    def _lines(self, chip: Chip) -> Sequence[Any]:
        with self.api.Chip(chip.path) as opened:
            return [opened.get_line_info(offset) for offset in range(chip.count)]


def _listed(there: Iterable[Chip]) -> str:
    return "; ".join(map(str, there)) or "none"


def _shortened(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _word(name: str, offset: int) -> str:
    """A name for a line in a declaration, from the one that the board's maker gave it."""
    word = re.sub(r"[^a-z0-9]+", "-", (name or "").lower()).strip("-")[:40]
    return word or f"line{offset}"


def _natural(path: Path) -> tuple[int, str]:
    return int("0" + re.sub(r"\D", "", path.name)), path.name
