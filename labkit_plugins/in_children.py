"""What a forked child lets go of: what a driver has open is its parent's, and only its parent's life keeps it.

Python's own pools of processes fork where nothing else is asked for, in a task of a lab too. Used by the drivers.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Protocol

log = logging.getLogger("labkit.plugins")


class Inherited(Protocol):
    """Something that a forked child inherits."""

    def let_go(self) -> None:
        """Close what was inherited, and touch nothing: other threads of the parent are not there."""


_living: weakref.WeakSet[Inherited] = weakref.WeakSet()
_hooked = threading.Lock()  # held for good, from the first one on


def let_go_in_children(inherited: Inherited) -> None:
    """Have a forked child let go of this as long as it lives. One hook for all of them, since none can be taken off
    again, and a device that is not there is tried each second by a new driver."""
    _living.add(inherited)
    if _hooked.acquire(blocking=False):
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for inherited in list(_living):
        try:
            inherited.let_go()
        except Exception:  # a library's; the others have to let go all the same
            log.exception("forked child could not let go of %r", inherited)
