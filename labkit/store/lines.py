"""Line: a connection for a conversation: several commands sent at once, their answers read one by one. Used by `calls`,
and by `connection` where what follows has to come by the same one as what was written.

A call through the store is two conversations: its caller sends it and asks for the reply in the same breath, and its
host asks for the next call before it hands this one over. So nobody does anything between a call and its driver but
send and read.
"""

from __future__ import annotations

from typing import Any, NoReturn

import redis

from labkit.store.channels import Answering
from labkit.store.pool import Pool, read_within


class Line:
    """A connection that its maker has to itself until it gives it back or closes it.

    seconds: what the store has for an answer; one that may wait by itself has that longer.
    Errors of `send` and `read`: `StoreUnavailableError`; who gets one closes it.
    """

    def __init__(self, pool: Pool, answering: Answering, seconds: float):
        self._seconds = seconds
        self._pool = pool
        self._answering = answering
        with answering():
            self._connection = pool.take()
        self._socket: Any = None
        """Where the first answer came from: the conversation has begun there, and goes on nowhere else."""
        self.over = False
        """Was it given back or closed? Then it has nothing more to read."""

    def send(self, packed: bytes) -> None:
        """Send packed commands; each has one answer to read."""
        try:
            self._stay(self._connection._sock)  # else the library would open another one
            self._connection.send_packed_command((packed,))
        except Exception as error:
            self._raise(error)

    def read(self, wait: float = 0.0) -> Any:
        """The next answer; one that is an error is raised, and the line is still good. wait: for how long the command
        itself waits, in seconds."""
        try:
            asked = self._connection._sock
            answer = read_within(self._connection, wait + self._seconds)
            self._stay(asked)
            self._socket = asked
            return answer
        except Exception as error:
            self._raise(error)

    def _stay(self, asked: Any) -> None:
        """Errors: ConnectionError where `Pool.close` took the connection away since the first answer."""
        if self._socket is not None and asked is not self._socket:
            raise redis.exceptions.ConnectionError("The connection was closed here.")

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
