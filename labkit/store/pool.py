"""Connections to the store, with little between a command and the socket. Used by `Store` for scripts and waits.

redis-py makes the connections and speaks the protocol. Its client is left out: for a short script it takes longer than
the store does. As there, nothing is sent twice, and a connection that the other side has closed is opened anew before
anything is sent.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import select
import time
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any

import redis

Argument = str | bytes | int | float

_READ_HAS_TIMEOUT = "timeout" in inspect.signature(redis.Connection.read_response).parameters
"""redis-py 8 has it, 5.2 does not."""
_BROKEN = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)


class Pool:
    """Connections of one kind, as `client` makes them; each is used by one thread at a time. After a fork the child
    makes its own. Errors of every method: those of redis-py."""

    def __init__(self, client: redis.Redis):
        self._source = client.connection_pool
        self._free: deque[tuple[Any, float]] = deque()  # with the time since when; who has waited longest is first
        self._busy: weakref.WeakSet[Any] = weakref.WeakSet()

    def ask(self, packed: bytes) -> Any:
        """Send one packed command and wait for its answer, bytes as bytes."""
        connection = self._take()
        self._busy.add(connection)
        try:
            connection.send_packed_command((packed,))
            answer = connection.read_response()
        except redis.exceptions.ResponseError:  # that is an answer too
            self._free.append((connection, time.monotonic()))
            raise
        except BaseException as error:
            connection.disconnect()  # the answer may still come, and must not be the next one's
            if isinstance(error, (ValueError, AttributeError)):  # `close` took it away from under this thread
                raise redis.exceptions.ConnectionError("The connection was closed here.") from error
            raise
        finally:
            self._busy.discard(connection)
        self._free.append((connection, time.monotonic()))
        return answer

    def take(self) -> Any:
        """A connection for a conversation, see `Line`. Who takes it gives it back when all answers have been read."""
        connection = self._take()
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Any) -> None:
        self._busy.discard(connection)
        self._free.append((connection, time.monotonic()))

    def _take(self) -> Any:
        process = os.getpid()
        while self._free:
            with contextlib.suppress(IndexError):  # another thread was quicker
                connection, _ = self._free.pop()
                if connection.pid != process:
                    continue  # it is the parent's, whose answers it would steal
                if not _is_stale(connection):
                    return connection
                connection.disconnect()
        made: Any = self._source.make_connection()
        made.connect()
        return made

    def drop_idle(self) -> None:
        """Close the connections that nobody uses just now: they may lead to a server that hangs."""
        free, self._free = self._free, deque()
        for connection, _ in list(free):  # another thread may be just taking one of them
            connection.disconnect()

    def tidy(self, seconds: float) -> None:
        """Close the connections that nobody has used for so long: a rush would leave as many as it needed, for ever."""
        while self._free:
            with contextlib.suppress(IndexError):  # another thread has taken it
                connection, since = self._free.popleft()
                if since > time.monotonic() - seconds:
                    self._free.appendleft((connection, since))
                    return
                connection.disconnect()

    def close(self) -> None:
        """Close the connections; who waits for an answer gets an error. Twice is fine, and the next use opens anew."""
        free, self._free = self._free, deque()
        for connection in [*(one for one, _ in free), *self._at_work()]:
            connection.disconnect()

    def _at_work(self) -> list[Any]:
        while True:
            with contextlib.suppress(RuntimeError):  # a thread has taken one, or given it back, while they were counted
                return list(self._busy)


def read_within(connection: Any, seconds: float) -> Any:
    """The next answer, which may take longer than those that `Pool.ask` waits for."""
    if _READ_HAS_TIMEOUT:
        return connection.read_response(timeout=seconds)
    socket = connection._sock  # None where `Pool.close` took it away; then this is an AttributeError as well
    socket.settimeout(seconds)
    try:
        return connection.read_response()
    finally:
        with contextlib.suppress(OSError):  # after an error it may be closed
            socket.settimeout(connection.socket_timeout)


def _is_stale(connection: Any) -> bool:
    """Whether the other side has closed it meanwhile (or sent what nobody asked for)."""
    look = select.poll()
    try:
        look.register(connection._sock, select.POLLIN)
        # with TLS there may be something to read that is no answer: only the library knows
        return bool(look.poll(0)) and bool(connection.can_read(timeout=0))
    except (*_BROKEN, TypeError, ValueError):  # it has no socket any more
        return True


def pack(arguments: Iterable[Argument]) -> list[bytes]:
    """The arguments of a command as the store reads them, without their number; half a surrogate pair in somebody's
    text must stop nothing."""
    packed = []
    data: bytes | bytearray
    for argument in arguments:
        if isinstance(argument, str):
            data = argument.encode("utf-8", "backslashreplace")
        elif isinstance(argument, (bytes, bytearray)):
            data = argument
        elif type(argument) in (int, float):  # True is neither
            data = repr(argument).encode()
        else:
            raise TypeError(f"{argument!r} is no argument of a command; only text, bytes and numbers are.")
        packed.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return packed


def command(arguments: Iterable[Argument]) -> bytes:
    """A whole packed command."""
    packed = pack(arguments)
    return b"*%d\r\n%b" % (len(packed), b"".join(packed))
