"""Door: a socket's file at which others come in. Used by the programs of twins.

It waits for nothing itself: a program's loop asks it for descriptors, and hands back what `poll` said of them.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from labkit_plugins.twins.control import listen

Watched = tuple[int, int, Callable[[int], None]]
"""A descriptor, the events of `poll` that are wanted, and what to do with those that come."""


class Client(Protocol):
    """Who has come in."""

    def close(self) -> None:
        """End its connection; twice is fine."""


C = TypeVar("C", bound=Client)


class Door(Generic[C]):
    """Opened at a path. let_in: makes a client of a connection, and is given whom to tell when that is gone. left: is
    called once for each client that is gone. kind: of the connections."""

    def __init__(
        self,
        path: Path,
        let_in: Callable[[socket.socket, Callable[[C], None]], C],
        left: Callable[[C], None],
        *,
        kind: int = socket.SOCK_SEQPACKET,
    ):
        self._path = path
        self._let_in = let_in
        self._left = left
        self._kind = kind
        self._listener: socket.socket | None = None
        self._clients: set[C] = set()

    @property
    def clients(self) -> tuple[C, ...]:
        """Who is in."""
        return tuple(self._clients)

    def open(self) -> None:
        """Put the socket's file there; twice is fine."""
        if self._listener is None:
            self._listener = listen(self._path, self._kind)

    def close(self) -> None:
        """Take the file away; who is in stays. Twice is fine."""
        if self._listener is not None:
            self._path.unlink(missing_ok=True)
            self._listener.close()
            self._listener = None

    def hang_up(self) -> None:
        """Send away who is in."""
        for client in self.clients:
            client.close()
            self._forget(client)

    def watched(self) -> Iterator[Watched]:
        """Where somebody may come in; what the clients wait for is the program's to say."""
        if self._listener is not None:
            yield self._listener.fileno(), select.POLLIN, self._accept

    def _accept(self, events: int) -> None:
        if self._listener is None:
            return
        try:
            connected, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        self._clients.add(self._let_in(connected, self._forget))

    def _forget(self, client: C) -> None:
        self._clients.discard(client)
        self._left(client)
