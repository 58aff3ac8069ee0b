"""Panel: the piece of page that shows one device. For plugin authors.

A panel is one ES module. Its default export is a function `mount(element, device)`; docs/reference/panels.md has the
contract. labkit serves the module itself, so a plugin needs no route.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Which ES module shows devices of one driver kind."""

    kind: str
    """The driver's `kind`."""
    module: Path
    """The `.js` file, absolute; other files in its folder are not served."""
