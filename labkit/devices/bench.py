"""What a bench and its devices are once they are read: plain values. Made by the reader, used by catalog and host."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from labkit.plugin import Driver, DriverOptions


@dataclass(frozen=True, kw_only=True)
class DeviceDeclaration:
    """One device as declared. `driver` is the class to open it with: already the twin where it is simulated.

    line: where its table begins in the bench's file; a table that only moved is the same.
    """

    bench: str
    name: str
    driver: type[Driver[Any]]
    kind: str
    options: DriverOptions
    line: int = field(compare=False)

    @property
    def full_name(self) -> str:
        return f"{self.bench}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class BenchDeclaration:
    """One bench as declared, its devices in the order of the file. machine: the only one that may host it, or None."""

    name: str
    title: str
    features: tuple[str, ...]
    machine: str | None
    devices: tuple[DeviceDeclaration, ...]
    file: Path


class BenchOptions(BaseModel):
    """The keys of the table `[bench]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(default="", description="Name shown to people; the file's name where empty.")
    features: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="What a session may ask for, for example a board's model."
    )
    machine: str | None = Field(
        default=None,
        min_length=1,
        description="LABKIT_MACHINE of the only machine that hosts this bench; any where left out.",
    )
