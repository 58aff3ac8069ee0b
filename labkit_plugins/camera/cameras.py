"""The V4L2 cameras of this machine: finding the one that a declaration means. Used by the driver and its scan."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.plugin import DeviceOfflineError
from labkit_plugins import matching
from labkit_plugins.camera import v4l2
from labkit_plugins.camera.options import CameraOptions
from labkit_plugins.matching import Matched, the_one

KIND = "camera"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the kernel and udev say what is there."""

    nodes: Path = Path("/dev")
    kernel: Path = Path("/sys/class/video4linux")
    processes: Path = Path("/proc")

    def stable_name(self, path: str) -> str:
        """The name of a node that survives a replug; its own path where udev has given it none."""
        meant = os.path.realpath(path)
        for folder in (self.nodes / "v4l" / "by-id", self.nodes / "v4l" / "by-path"):
            for link in sorted(folder.glob("*")):
                if os.path.realpath(link) == meant:
                    return str(link)
        return path


@dataclass(frozen=True, kw_only=True)
class Node(Matched):
    """A video node of the kernel.

    number: which of its device's nodes it is; 0 has the pictures, others often only what belongs to them.
    """

    stable: str
    card: str
    number: int = 0

    def __str__(self) -> str:
        facts = [self.card, self.usb_id, f"serial {self.usb_serial}" if self.usb_serial else None]
        known = ", ".join(fact for fact in facts if fact)
        return f"{self.stable} ({known})" if known else self.stable


def nodes_here(places: Places | None = None) -> list[Node]:
    """All video nodes that the kernel has, in the order of their numbers."""
    places = places or Places()
    entries = [entry for entry in places.kernel.glob("video*") if entry.name[5:].isdecimal()]
    return [_node(entry, places) for entry in sorted(entries, key=lambda entry: int(entry.name[5:]))]


def find_camera(options: CameraOptions, device: str, places: Places | None = None) -> str:
    """The node of the declared camera. Errors: `DeviceOfflineError`: not there (naming what is), or several fit."""
    if options.match is None:
        if options.device is None or not os.path.exists(options.device):
            raise absent(f"Camera {options.device}", device, nodes_here(places))
        return os.path.realpath(options.device)
    there = [node for node in nodes_here(places) if node.number == 0]
    advice = "; or device, with its path in /dev/v4l/by-path"
    return the_one(options.match, there, device, kind=KIND, advice=advice).path


def absent(what: str, device: str, there: Iterable[Node]) -> DeviceOfflineError:
    """The error for a camera that is not there."""
    return matching.absent(what, device, [node for node in there if node.number == 0], kind=KIND)


def preferred_format(options: CameraOptions, formats: Iterable[v4l2.Format]) -> str | None:
    """The format to ask a camera for: the declared one, else JPEG where it has that (in the declared size)."""
    if options.format is not None:
        return options.format
    jpeg = [one for one in formats if one.name == "mjpeg"]
    fits = any(options.size is None or options.size in one.sizes or not one.sizes for one in jpeg)
    return "mjpeg" if fits else None


def _node(entry: Path, places: Places) -> Node:
    path = str(places.nodes / entry.name)
    interface = (entry / "device").resolve()
    usb = interface.parent if (interface / "bInterfaceNumber").exists() else None
    vendor, product = (_text(usb / name) if usb else None for name in ("idVendor", "idProduct"))
    number, place = _text(entry / "index"), _text(interface / "bInterfaceNumber")
    return Node(
        path=path,
        stable=places.stable_name(path),
        card=_text(entry / "name") or "",
        number=int(number) if number and number.isdecimal() else 0,
        usb_serial=_text(usb / "serial") if usb else None,
        usb_id=f"{vendor}:{product}".lower() if vendor and product else None,
        usb_interface=int(place, 16) if place else None,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None
