"""What a declaration may say about the lines of a GPIO chip. Used by the driver, its twin and the declaration reader.

Nothing here touches hardware or imports gpiod: a declaration is checked on any machine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from labkit.plugin import Doubt, DriverOptions, OptionError, Takes

MOST_LINES = 64
"""How many lines the kernel gives out in one request."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_NUMBERED = re.compile(r"(/dev/)?gpiochip[0-9]+")
_OF_INPUTS = ("debounce", "edges")
_OF_OUTPUTS = ("initial", "drive")


def _bit(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


Level = Annotated[Literal[0, 1], BeforeValidator(_bit)]
"""Level of a line: 1 is on. Where the line is `active_low`, that is the low voltage."""


class LineOptions(BaseModel):
    """One line of the chip. `red = 17` is short for `red = { line = 17 }`: an output that begins at its safe level."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: int = Field(ge=0, le=65535, description="Number of the line on its chip, as `gpioinfo` counts them.")
    direction: Literal["in", "out"] = Field(default="out", description="in: the line is read; out: it is driven.")
    pull: Literal["keep", "none", "up", "down"] = Field(
        default="keep", description="The chip's own resistor: up, down, none, or keep what it is."
    )
    active_low: StrictBool = Field(default=False, description="The line is on (1) while its voltage is low.")
    initial: Level | None = Field(
        default=None,
        description="Level (0 or 1) of an output in the moment it is opened; its safe level where left out.",
    )
    drive: Literal["push-pull", "open-drain", "open-source"] = Field(
        default="push-pull", description="How an output drives: both ways, only to low, or only to high."
    )
    debounce: int = Field(
        default=0, ge=0, le=10_000, description="Milliseconds that an input must stay at a level before it counts."
    )
    edges: Literal["both", "rising", "falling", "none"] = Field(
        default="both", description="Which changes of an input the device tells: to 1, to 0, both or none."
    )

    @model_validator(mode="after")
    def _only_what_fits_its_direction(self) -> Self:
        is_input = self.direction == "in"
        what = "is for outputs; this line is an input" if is_input else 'is for inputs; say direction = "in" too'
        wrong = [key for key in (_OF_OUTPUTS if is_input else _OF_INPUTS) if key in self.model_fields_set]
        OptionError.raise_all(OptionError(what, path=(key,)) for key in wrong)
        return self

    @property
    def is_output(self) -> bool:
        return self.direction == "out"

    def drives(self, level: int) -> bool:
        """Whether an output at this level holds its line there; if not it lets go, and others decide what it is."""
        high = bool(level) != self.active_low
        return self.drive == "push-pull" or high == (self.drive == "open-source")


def _as_table(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"line": value}
    if isinstance(value, (dict, LineOptions)):
        return value
    raise ValueError("must be the number of a line, or a table such as { line = 17 }")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a line's name has small letters, digits, '-' and '_', begins with a letter or digit, "
            "and has at most 40 characters"
        )
    return value


LineName = Annotated[str, AfterValidator(_name)]
Line = Annotated[LineOptions, BeforeValidator(_as_table, json_schema_input_type=int | LineOptions)]


class GpioOptions(DriverOptions):
    """Lines of one GPIO chip: where the chip is, what its lines are called, and their safe levels."""

    chip: str | None = Field(
        default=None, min_length=1, description='The chip: its label ("pinctrl-rp1"), or a path ("/dev/gpiochip0").'
    )
    lines: dict[LineName, Line] = Field(
        min_length=1, max_length=MOST_LINES, description="The lines by name: a number, or a table."
    )
    safe: dict[str, Level] = Field(
        default_factory=dict, description="Level (0 or 1) of each output in its safe state; 0 where left out."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        OptionError.raise_all([*self._chip_mistakes(), *self._doubled_lines(), *self._safe_mistakes()])
        return self

    @property
    def outputs(self) -> Mapping[str, LineOptions]:
        return {name: line for name, line in self.lines.items() if line.is_output}

    @property
    def safe_levels(self) -> dict[str, int]:
        """The safe level of each output."""
        return {name: self.safe.get(name, 0) for name in self.outputs}

    @property
    def initial_levels(self) -> dict[str, int]:
        """The level of each output in the moment it is opened."""
        safe = self.safe_levels
        return {name: safe[name] if line.initial is None else line.initial for name, line in self.outputs.items()}

    def takes(self) -> Sequence[Takes]:
        chip = (self.chip or "").removeprefix("/dev/")
        return [
            Takes(what=f"line {line.line} of chip {chip}", path=("lines", name)) for name, line in self.lines.items()
        ]

    def doubts(self) -> Sequence[Doubt]:
        return [*self._numbered_chip(), *self._quiet_inputs()]

    def _numbered_chip(self) -> Iterator[Doubt]:
        if self.chip is None or not _NUMBERED.fullmatch(self.chip):
            return
        message = (
            f'chip: the number in "{self.chip}" may be another one after a restart. '
            "Say the chip's label, which `labkit devices scan` shows."
        )
        yield Doubt(message=message, path=("chip",))

    def _quiet_inputs(self) -> Iterator[Doubt]:
        message = (
            "the page shows the level of this input only when something reads it, because not every change of it is "
            'told. Say edges = "both" where its lamp has to follow.'
        )
        for name, line in self.lines.items():
            if not line.is_output and line.edges != "both":
                yield Doubt(message=message, path=("lines", name, "edges"))

    def _chip_mistakes(self) -> Iterator[OptionError]:
        if self.chip is None and not self.simulate:
            yield OptionError('say which chip: chip = "its label", or simulate = true')

    def _doubled_lines(self) -> Iterator[OptionError]:
        names = defaultdict(list)
        for name, line in self.lines.items():
            names[line.line].append(name)
        for first, *others in names.values():
            for name in others:
                yield OptionError(f"is the same line of the chip as '{first}'", path=("lines", name))

    def _safe_mistakes(self) -> Iterator[OptionError]:
        for name in self.safe:
            if name not in self.lines:
                yield OptionError("there is no such line", path=("safe", name), known=self.outputs)
            elif name not in self.outputs:
                yield OptionError("is an input; only outputs have a safe level", path=("safe", name))
