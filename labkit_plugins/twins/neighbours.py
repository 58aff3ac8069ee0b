"""The other twins of a bench: how programs find each other, in whichever order they start. Used by `program`.

A program that starts asks each control channel beside its own who it is, and tells it where its own is (`wire PATH`);
who hears that asks back. So two programs know of each other as soon as both listen, and nobody has to look again.
"""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit_plugins.twins.channel import Channel
from labkit_plugins.twins.control import CONTROL, short_address


class Neighbours:
    """Connections to the programs of the same bench. `met` says which are kept; `heard` gets what those send."""

    def __init__(
        self,
        folder: Path | None,
        met: Callable[[Channel, str], bool],
        heard: Callable[[Channel, Mapping[str, Any]], None],
    ):
        self._folder = folder
        self._met = met
        self._heard = heard
        self._channels: dict[Path, Channel] = {}
        self._kept: set[Channel] = set()

    @property
    def channels(self) -> Iterable[Channel]:
        return tuple(self._channels.values())

    @property
    def kept(self) -> Iterable[Channel]:
        """The neighbours that `met` said True to."""
        return tuple(self._kept)

    def look(self) -> None:
        """Ask everybody who is there, and tell them that we are."""
        if self._folder is None:
            return
        own = self._folder / CONTROL
        for path in sorted(self._folder.parent.glob(f"*/{CONTROL}")):
            if path != own:
                self.meet(path, f"wire {shlex.quote(str(own))}")

    def meet(self, path: Path, *first: str) -> None:
        """Ask the program at `path` who it is, after these requests; a program that was met before is met anew."""
        old = self._channels.pop(path, None)
        if old is not None:
            self._kept.discard(old)
            old.close()
        connected = _connect(path)
        if connected is None:
            return
        channel = Channel(connected, self._take, self._forget)
        self._channels[path] = channel
        for request in (*first, "hello"):
            channel.send(request)

    def close(self) -> None:
        for channel in self.channels:
            channel.close()

    def _take(self, channel: Channel, text: str) -> None:
        try:
            packet = dict(json.loads(text))
        except (TypeError, ValueError):
            return  # no twin of ours
        if channel in self._kept:
            self._heard(channel, packet)
        elif "kind" in packet:
            self._kept.add(channel)  # before `met`, which may already send
            if not self._met(channel, packet["kind"]):
                channel.close()
                self._forget(channel)

    def _forget(self, channel: Channel) -> None:
        self._kept.discard(channel)
        self._channels = {path: known for path, known in self._channels.items() if known is not channel}


def _connect(path: Path) -> socket.socket | None:
    """A connection that was made at once; None where nobody listens (a dead program's socket may still lie there)."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        with short_address(path) as address:
            connected.connect(address)
    except OSError:
        connected.close()
        return None
    return connected
