"""What a person should hear of a lab that starts all the same: files that nobody reads, plugins that are broken."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.devices.unread import unread_benches

if TYPE_CHECKING:
    from labkit.lab import Lab

PLUGINS_LOG = "labkit.plugins"


def notices(lab: Lab) -> Iterator[str]:
    """One sentence for each thing that is likely a mistake."""
    for path in unread_benches(lab.devices_folder):
        yield f"{path.parent.name}/{path.name} is not read: the name of a bench's file ends in .toml."
    for bench in lab.catalog.benches.values():
        if not bench.devices:
            yield f"{bench.name} has no devices. Declare them in {bench.file.parent.name}/{bench.file.name}."


def broken_plugins(lab: Lab) -> Iterator[str]:
    """Plugins that were left out; a declaration that needs one has stopped the lab before this."""
    plugins = lab.plugins if lab.settings.no_thread else lab.catalog.plugins
    for plugin in plugins.broken:
        yield f"{plugin.origin} is broken and was left out: {plugin.error}"


@contextlib.contextmanager
def plugins_unsaid() -> Iterator[None]:
    """In this block broken plugins are not logged: whoever loads the lab says them in sentences."""
    log = logging.getLogger(PLUGINS_LOG)
    log.addFilter(_nothing)
    try:
        yield
    finally:
        log.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False
