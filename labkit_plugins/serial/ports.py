"""Finding the port that a declaration means, and saying what is there where it is not. For the driver and its scan."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.plugin import DeviceOfflineError, UsbMatch
from labkit_plugins.serial.options import SerialOptions


@dataclass(frozen=True, kw_only=True)
class Port:
    """A serial port of this machine and, where it is a USB device, what is burned into it."""

    path: str
    usb_serial: str | None = None
    usb_id: str | None = None
    usb_interface: int | None = None
    manufacturer: str | None = None
    product: str | None = None

    def fits(self, match: UsbMatch) -> bool:
        """Is this the port that is meant? What `match` does not say may be anything."""
        return all(getattr(self, name) == wanted for name, wanted in match.model_dump(exclude_none=True).items())

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
    meant = ", ".join(f"{key} = {value!r}" for key, value in options.match.model_dump(exclude_none=True).items())
    there = list(ports())
    fitting = [port for port in there if port.fits(options.match)]
    if not fitting:
        raise absent(f"A USB port with {meant}", device, there)
    if len(fitting) > 1:
        raise DeviceOfflineError(
            f"{len(fitting)} ports fit the match ({meant}) of '{device}': {_listed(fitting)}. "
            "Say usb_serial or usb_interface too, so that one is left.",
            device=device,
        )
    return fitting[0].path


def absent(what: str, device: str, there: Iterable[Port]) -> DeviceOfflineError:
    return DeviceOfflineError(
        f"{what} of '{device}' is not there. Ports of this machine: {_listed(there)}. Plug it in, or correct the "
        "declaration; it is tried again by itself.",
        device=device,
    )


def forbidden(path: str, device: str) -> DeviceOfflineError:
    """The error for a port that this user may not open; it says what grants it."""
    missing = missing_permission(path)
    return DeviceOfflineError(
        f"User {missing.user} may not open {path} of '{device}' (group {missing.group}, mode {missing.mode}). "
        f"{missing.remedy}.",
        device=device,
    )


@dataclass(frozen=True, kw_only=True)
class MissingPermission:
    """Why a user may not open a port, in names; remedy: the command, or the act, that grants it."""

    user: str
    group: str
    mode: str
    remedy: str


def missing_permission(path: str) -> MissingPermission:
    """Say what keeps this process's user from a port that is there. Errors: OSError where it has gone."""
    info = os.stat(path)
    group = _name(lambda: grp.getgrgid(info.st_gid).gr_name, info.st_gid)
    user = _name(lambda: pwd.getpwuid(os.geteuid()).pw_name, os.geteuid())
    by_group = info.st_gid != 0 and info.st_mode & 0o060 == 0o060
    remedy = f"Run: sudo usermod -aG {group} {user}, and log in again" if by_group else "Give it a group by a udev rule"
    return MissingPermission(user=user, group=group, mode=f"{stat.S_IMODE(info.st_mode):04o}", remedy=remedy)


def _listed(ports: Iterable[Port]) -> str:
    return "; ".join(map(str, ports)) or "none"


def _interface(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return int((Path(path) / "bInterfaceNumber").read_text(), 16)
    except (OSError, ValueError):
        return None


def _name(look_up: Callable[[], str], number: int) -> str:
    try:
        return look_up()
    except KeyError:  # a user or group without an entry, as in a container
        return str(number)
