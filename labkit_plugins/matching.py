"""Finding the one thing of this machine that a declaration's `match` means, and saying what is there where it is not.

Used by the drivers of serial ports and of cameras.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from labkit.plugin import DeviceOfflineError, UsbMatch


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What is at a path of this machine and, where it is a USB device, what is burned into that."""

    path: str
    usb_serial: str | None = None
    usb_id: str | None = None
    usb_interface: int | None = None

    def fits(self, match: UsbMatch) -> bool:
        """Is this what is meant? What `match` does not say may be anything."""
        return all(getattr(self, name) == wanted for name, wanted in match.said.items())


M = TypeVar("M", bound=Matched)


def the_one(match: UsbMatch, there: Iterable[M], device: str, *, kind: str, advice: str = "") -> M:
    """The only one that fits. kind: what each is called; advice: what helps besides where several fit.

    Errors: `DeviceOfflineError`: none fits (naming what is there), or several."""
    known = list(there)
    meant = ", ".join(f"{key} = {value!r}" for key, value in match.said.items())
    fitting = [one for one in known if one.fits(match)]
    if not fitting:
        raise absent(f"A USB {kind} with {meant}", device, known, kind=kind)
    if len(fitting) > 1:
        raise DeviceOfflineError(
            f"{len(fitting)} {kind}s fit the match ({meant}) of '{device}': {_listed(fitting)}. "
            f"Say usb_serial or usb_interface too, so that one is left{advice}.",
            device=device,
        )
    return fitting[0]


def absent(what: str, device: str, there: Iterable[Matched], *, kind: str) -> DeviceOfflineError:
    """The error for what a device needs and is not there."""
    return DeviceOfflineError(
        f"{what} of '{device}' is not there. {kind.capitalize()}s of this machine: {_listed(there)}. Plug it in, or "
        "correct the declaration; it is tried again by itself.",
        device=device,
    )


def _listed(found: Iterable[Matched]) -> str:
    return "; ".join(map(str, found)) or "none"
