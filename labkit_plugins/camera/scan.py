"""Which cameras this machine has, for `labkit devices scan`: their names, formats, who has them, what is missing.

A node is opened for a moment and asked; nothing is started, and who uses the camera does not notice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.plugin import Found
from labkit_plugins.camera import v4l2
from labkit_plugins.camera.cameras import Node, Places, nodes_here
from labkit_plugins.holders import holders
from labkit_plugins.permission import missing_permission

_FORMATS, _SIZES = 3, 5  # shown of each camera


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a node said: nothing where it could not be asked, and then why."""

    card: str = ""
    formats: list[v4l2.Format] = field(default_factory=list)
    captures: bool = True
    error: OSError | None = None


def scan_cameras(places: Places | None = None) -> list[Found]:
    """The cameras of this machine; nodes without pictures (metadata, encoders) are left out."""
    places = places or Places()
    return list(_all_found(places))


def _all_found(places: Places) -> Iterator[Found]:
    for node in nodes_here(places):
        answer = _ask(node.path)
        if answer.error is not None and answer.error.errno == errno.ENOENT:
            yield from [_missing_node(node)] if node.number == 0 else []
        elif answer.captures and (answer.error is None or node.number == 0):
            yield _found(node, answer, places)


def _ask(path: str) -> _Answer:
    try:
        fd = v4l2.open_node(path)
    except OSError as error:
        return _Answer(error=error)
    try:
        here = v4l2.capabilities(fd)
        return _Answer(card=here.card, formats=v4l2.formats(fd) if here.captures else [], captures=here.captures)
    except OSError as error:
        return _Answer(error=error)
    finally:
        os.close(fd)


def _found(node: Node, answer: _Answer, places: Places) -> Found:
    trouble, remedy = _trouble(node, answer)
    using = ", ".join(map(str, holders(node.path, places.processes)))
    facts = {
        "device": node.path,
        "usb_id": node.usb_id or "",
        "usb_serial": node.usb_serial or "",
        "usb_interface": "" if node.usb_interface is None else str(node.usb_interface),
        "formats": _shown(answer.formats),
        "open in": using or ("no program" if os.geteuid() == 0 else "no program that this user may see"),
    }
    return Found(
        path=node.stable,
        title=answer.card or node.card or "Camera",
        facts={name: value for name, value in facts.items() if value},
        options={"device": node.stable},
        trouble=trouble,
        remedy=remedy,
    )


def _shown(formats: list[v4l2.Format]) -> str:
    """The formats in a line that can be read: JPEG first, and not all of a camera that can do everything."""
    ordered = sorted(formats, key=lambda one: one.name != "mjpeg")
    told = [f"{one.name} {', '.join(one.sizes[:_SIZES])}{' ...' if one.sizes[_SIZES:] else ''}" for one in ordered]
    more = len(told) - _FORMATS
    return "; ".join(told[:_FORMATS] + ([f"and {more} more"] if more > 0 else []))


def _trouble(node: Node, answer: _Answer) -> tuple[str, str]:
    """Why the camera can't be used now, and what ends that; two empty texts where it can.

    That another program has it open is no trouble: only who captures hinders others, and that can't be seen.
    """
    if answer.error is None:
        return "", ""
    if answer.error.errno in (errno.EACCES, errno.EPERM):
        missing = missing_permission(node.path)
        return missing.trouble, f"{missing.remedy}."
    return f"it can't be asked: {answer.error.strerror}", "Unplug it and plug it in again."


def _missing_node(node: Node) -> Found:
    return Found(
        path=node.path,
        title=node.card or "Camera",
        trouble="the kernel has it, and it is not here: this seems to be a container that was not given it",
        remedy=f"Start the container with --device={node.path}.",
        options={"device": node.path},
    )
