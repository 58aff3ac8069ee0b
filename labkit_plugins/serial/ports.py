"""Finding the port that a declaration means, and saying what is there where it is not. For the driver and its scan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.plugin import DeviceOfflineError
from labkit_plugins import matching
from labkit_plugins.matching import Matched, the_one
from labkit_plugins.serial.options import SerialOptions

KIND = "port"


@dataclass(frozen=True, kw_only=True)
class Port(Matched):
    """A serial port of this machine."""

    manufacturer: str | None = None
    product: str | None = None

    def __str__(self) -> str:
        facts = [self.usb_id, f"serial {self.usb_serial}" if self.usb_serial else None]
        facts.append(f"interface {self.usb_interface}" if self.usb_interface is not None else None)
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.path} ({known})" if known else self.path


def ports_here() -> list[Port]:
    """The serial ports of this machine, by pyserial."""
    from serial.tools.list_ports import comports

    return sorted((port_of(info) for info in comports()), key=lambda port: port.path)


def port_of(info: Any) -> Port:
    """What pyserial found out about one port, as a `Port`."""
    usb_id = None if info.vid is None else f"{info.vid:04x}:{info.pid:04x}"
    return Port(
        path=info.device,
        usb_serial=info.serial_number,
        usb_id=usb_id,
        usb_interface=_interface(getattr(info, "usb_interface_path", None)),
        manufacturer=info.manufacturer,
        product=info.product,
    )


def find_port(options: SerialOptions, device: str, ports: Callable[[], Iterable[Port]] = ports_here) -> str:
    """The path of the declared port. Errors: `DeviceOfflineError`: not there (naming what is), or not only one fits."""
    if options.match is None:
        if options.port is None or not os.path.exists(options.port):
            raise absent(f"Port {options.port}", device, ports())
        return options.port
    return the_one(options.match, ports(), device, kind=KIND).path


def absent(what: str, device: str, there: Iterable[Port]) -> DeviceOfflineError:
    """The error for a port that is not there."""
    return matching.absent(what, device, there, kind=KIND)


def _interface(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return int((Path(path) / "bInterfaceNumber").read_text(), 16)
    except (OSError, ValueError):
        return None
