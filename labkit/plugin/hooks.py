"""The whole plugin surface on one screen: every hook that labkit calls. For plugin authors.

A plugin is a module with functions marked `@hookimpl`: one that is installed, found through the entry-point group
`labkit`, or a file in the lab's own `drivers/` folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from labkit.plugin.driver import Driver
from labkit.plugin.panel import Panel

hookspec = pluggy.HookspecMarker("labkit")
hookimpl = pluggy.HookimplMarker("labkit")


@hookspec
def labkit_drivers() -> Sequence[type[Driver[Any]]]:
    """Return the driver classes that this plugin brings."""
    return ()


@hookspec
def labkit_panels() -> Sequence[Panel]:
    """Return the panels that this plugin brings."""
    return ()
