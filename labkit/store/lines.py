"""Line: a connection for a conversation: several commands sent at once, their answers read one by one. Used by `calls`.

A call through the store is two conversations: its caller sends it and asks for the reply in the same breath, and its
host asks for the next call before it hands this one over. So nobody does anything between a call and its driver but
send and read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NoReturn

import redis

from labkit.store.pool import Pool, read_within

Answering = Callable[[], contextlib.AbstractContextManager[None]]
"""Turns the library's errors into `StoreUnavailableError`."""


class Line:
    """A connection that its maker has to itself until it gives it back or closes it.

    seconds: what the store has for an answer; one that may wait by itself has that longer.
    Errors of `send` and `read`: `StoreUnavailableError`; then it is closed.
    """

    def __init__(self, pool: Pool, answering: Answering, seconds: float):
        self._seconds = seconds
        self._pool = pool
        self._answering = answering
        with answering():
            self._connection = pool.take()
        self.over = False
        """Was it given back or closed? Then it has nothing more to read."""

    def send(self, packed: bytes) -> None:
        """Send packed commands; each has one answer to read."""
        try:
            self._connection.send_packed_command((packed,))
        except Exception as error:
            self._raise(error)

    def read(self, wait: float = 0.0) -> Any:
        """The next answer; one that is an error is raised, and the line is still good. wait: for how long the command
        itself waits, in seconds."""
        try:
            return read_within(self._connection, wait + self._seconds)
        except Exception as error:
            self._raise(error)

    def give_back(self) -> None:
        """All answers have been read: others may have the connection."""
        if not self.over:
            self.over = True
            self._pool.give_back(self._connection)

    def close(self) -> None:
        """End the conversation in the middle. Twice is fine."""
        if not self.over:
            self.over = True
            self._connection.disconnect()

    def _raise(self, error: Exception) -> NoReturn:
        """Raise what an error of the library means. Only here, since this way it costs nothing where there is none."""
        with self._answering():
            if isinstance(error, (ValueError, AttributeError, OSError)):  # `Pool.close` took it away from this thread
                raise redis.exceptions.ConnectionError("The connection was closed here.") from error
            raise error
        raise error  # what `answering` lets pass, it raises itself
