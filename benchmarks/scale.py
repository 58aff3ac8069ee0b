"""How long a run measures. Given to every measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scale:
    """quick: everything is done once or so, to see that it works; its figures say nothing.

    environments: where the peers are installed, a folder for each; one that is not there is left out, and said so.
    """

    quick: bool
    environments: Path

    def times(self, full: int, quick: int) -> int:
        """How often to do something."""
        return quick if self.quick else full

    def seconds(self, full: float, quick: float) -> float:
        """For how long to do something."""
        return quick if self.quick else full

    def python(self, environment: str) -> str | None:
        """The interpreter of a peer's environment; None: it is not installed."""
        found = self.environments / environment / "bin" / "python"
        return str(found) if found.exists() else None
