"""Found: what `Driver.scan` says of one piece of hardware of this machine. For plugin authors, and `devices scan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Found:
    """One piece of hardware that a driver could open. `options` is what a declaration says to mean exactly this one.

    trouble: why it can't be used now ('' where it can): who has it open, which permission is missing. remedy: the
    command, or the act, that ends the trouble. facts: what there is to know, by name, in the order to show.
    """

    path: str
    """A name that outlives a replug and a restart where there is one: /dev/serial/by-id/..."""
    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""
    remedy: str = ""
