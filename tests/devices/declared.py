"""Drivers with all kinds of options, and the files of benches that declare them. For the tests of declarations."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from labkit.devices.declaration import read_declarations
from labkit.devices.plugins import Plugins
from labkit.errors import DeclarationError
from labkit.plugin import Driver, DriverOptions, UsbMatch
from tests.devices.written import Write as Write
from tests.devices.written import writer


class Quiet:
    """The four methods that a driver must have."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def make_safe(self) -> None: ...
    def interrupt(self) -> None: ...


class PortOptions(DriverOptions):
    port: str | None = None
    match: UsbMatch | None = None
    baudrate: int = Field(default=115200, ge=50)
    parity: Literal["none", "even", "odd"] = "none"
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> "PortOptions":
        if self.port and self.match:
            raise ValueError("port and match are given, but only one of them can count")
        return self


class Port(Quiet, Driver[PortOptions]):
    kind = "port"


class PortTwin(Port):
    pass


Port.simulated = PortTwin


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    line: int
    direction: Literal["in", "out"] = "out"


class Serve(BaseModel):
    type: Literal["serve"]
    port: int


class Dial(BaseModel):
    type: Literal["dial"]
    number: tuple[int, int]


class PinsOptions(DriverOptions):
    lines: dict[str, int | Line]
    link: Serve | Dial | None = Field(default=None, discriminator="type")


class Pins(Quiet, Driver[PinsOptions]):
    kind = "pins"


class FoundOptions(DriverOptions):
    port: str | None = None

    @model_validator(mode="after")
    def _findable(self) -> "FoundOptions":
        if not self.port and not self.simulate:
            raise ValueError("say where it is, or simulate = true")
        return self


class FoundTwin(Quiet, Driver[FoundOptions]):
    kind = "found"


class Found(Quiet, Driver[FoundOptions]):
    kind = "found"
    simulated = FoundTwin


class FaultyOptions(DriverOptions):
    @model_validator(mode="before")
    @classmethod
    def _stumble(cls, data: dict[str, Any]) -> None:
        raise KeyError("nothing")


class Faulty(Quiet, Driver[FaultyOptions]):
    kind = "faulty"


PLUGINS = Plugins(drivers={"port": Port, "pins": Pins, "faulty": Faulty})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of a `devices` folder: `write(bench_1="...")` makes devices/bench-1.toml."""
    return writer(tmp_path / "devices", lambda name: f"{name.replace('_', '-')}.toml")


def problems_of(folder: Path, plugins: Plugins = PLUGINS, **how: bool) -> list[str]:
    """What is refused about the files of a folder, a sentence each."""
    with pytest.raises(DeclarationError) as refused:
        read_declarations(folder, plugins, **how)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems
