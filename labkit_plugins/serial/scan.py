"""Which serial ports this machine has, for `labkit devices scan`: what they are called, who has them, what is missing.

Opens no port: that alone would reset many a board, and take the port from whoever has it. So a lock that only an
open can feel (TIOCEXCL) is not seen here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.plugin import Found, UsbMatch
from labkit_plugins.holders import Holder, holders, program
from labkit_plugins.permission import missing_permission
from labkit_plugins.serial.ports import Port, ports_here

_USB_NAMES = ("ttyUSB", "ttyACM")
_IDENTITIES = (("usb_serial",), ("usb_serial", "usb_interface"), ("usb_serial", "usb_interface", "usb_id"))
"""What to say of a USB port, the shortest first; the first that means one port only is taken."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the kernel and udev say what is there."""

    nodes: Path = Path("/dev")
    kernel: Path = Path("/sys/class/tty")
    processes: Path = Path("/proc")

    def stable_name(self, path: str) -> str:
        """The name of a port that survives a replug; its own path where udev has given it none."""
        meant = os.path.realpath(path)
        for folder in (self.nodes / "serial" / "by-id", self.nodes / "serial" / "by-path"):
            for link in sorted(folder.glob("*")):
                if os.path.realpath(link) == meant:
                    return str(link)
        return path

    def is_there(self, port: Port) -> bool:
        """False for the many /dev/ttyS* behind which there is no hardware."""
        kind = self.kernel / Path(port.path).name / "type"
        try:
            return kind.read_text().strip() != "0"
        except OSError:
            return True

    def is_console(self, path: str) -> bool:
        """Whether the kernel writes its messages to this port."""
        try:
            names = (self.kernel / "console" / "active").read_text().split()
        except OSError:
            return False
        return Path(os.path.realpath(path)).name in names

    def without_node(self) -> Iterator[str]:
        """USB ports that the kernel has and that have no node here, as in a container that was not given them."""
        for entry in sorted(self.kernel.glob("*")):
            if entry.name.startswith(_USB_NAMES) and not (self.nodes / entry.name).exists():
                yield str(self.nodes / entry.name)


def scan_ports(ports: Callable[[], Iterable[Port]] = ports_here, places: Places | None = None) -> list[Found]:
    """The serial ports of this machine, those of USB first."""
    places = places or Places()
    there = [port for port in ports() if places.is_there(port)]
    there.sort(key=lambda port: (port.usb_id is None, port.path))
    return [*_all_found(there, places), *map(_missing_node, places.without_node())]


def _all_found(there: Sequence[Port], places: Places) -> Iterator[Found]:
    for port in there:
        with contextlib.suppress(FileNotFoundError):  # unplugged in this moment
            yield _found(port, there, places)


def _found(port: Port, there: Sequence[Port], places: Places) -> Found:
    name = places.stable_name(port.path)
    trouble, remedy = _trouble(port.path, places)
    return Found(
        path=name,
        title=_title(port),
        facts=_facts(port, places),
        options=_options(port, there, name),
        trouble=trouble,
        remedy=remedy,
    )


def _title(port: Port) -> str:
    if port.usb_id is None:
        return "Serial port of the machine"
    maker, product = port.manufacturer or "", port.product or ""
    if product.lower().startswith(maker.lower().split(" ")[0]):
        return product or "USB serial port"
    return f"{maker} {product}".strip()


def _facts(port: Port, places: Places) -> dict[str, str]:
    """What identifies a port stands under the key by which a declaration says it."""
    facts = {
        "port": port.path,
        "usb_id": port.usb_id or "",
        "usb_serial": port.usb_serial or "",
        "usb_interface": "" if port.usb_interface is None else str(port.usb_interface),
        "manufacturer": port.manufacturer or "",
        "product": port.product or "",
        "open in": ", ".join(map(str, _users(port.path, places))) or _nobody(),
    }
    return {name: value for name, value in facts.items() if value}


def _nobody() -> str:
    return "no program" if os.geteuid() == 0 else "no program that this user may see"


def _options(port: Port, there: Sequence[Port], name: str) -> Mapping[str, Any]:
    """The shortest thing to say that means this port and no other that is there."""
    for keys in _IDENTITIES if port.usb_serial else ():
        match = {key: getattr(port, key) for key in keys if getattr(port, key) is not None}
        if sum(other.fits(UsbMatch.model_validate(match)) for other in there) == 1:
            return {"match": match}
    return {"port": name}


def _trouble(path: str, places: Places) -> tuple[str, str]:
    """Why the port can't be used now, and what ends that; two empty texts where it can."""
    if places.is_console(path):
        return "the kernel writes its messages to it", f"Take console={Path(path).name} off the kernel's command line."
    if not os.access(path, os.R_OK | os.W_OK):
        missing = missing_permission(path)
        return missing.trouble, f"{missing.remedy}."
    using = _users(path, places)
    if using:
        return f"{', '.join(map(str, using))} has it open", "End that program, unless it is the lab's own loop."
    return "", ""


def _users(path: str, places: Places) -> list[Holder]:
    """Who has the port open, as far as this user may see; of other users' programs those that have locked it."""
    seen = {holder.pid: holder for holder in holders(path, places.processes)}
    for pid in _who_locked(path, places.processes):
        if pid not in seen and pid != os.getpid():
            seen[pid] = Holder(pid=pid, program=program(places.processes / str(pid), "a program of another user"))
    return [seen[pid] for pid in sorted(seen)]


def _who_locked(path: str, processes: Path) -> Iterator[int]:
    """Processes with a `flock` on the port: that table is open to everybody, unlike other users' open files."""
    info = os.stat(path)
    meant = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        lines = (processes / "locks").read_text().splitlines()
    except OSError:
        return
    for words in map(str.split, lines):
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == meant and words[4].isdecimal():
            yield int(words[4])


def _missing_node(path: str) -> Found:
    return Found(
        path=path,
        title="USB serial port",
        trouble="the kernel has it, and it is not here: this seems to be a container that was not given it",
        remedy=f"Start the container with --device={path}.",
        options={"port": path},
    )
