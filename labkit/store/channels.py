"""A connection that listens to channels of the store. Made by the connection (`Store.channels`), used by `frames`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection

import redis

Answering = Callable[[], contextlib.AbstractContextManager[None]]
"""Turns the library's errors into `StoreUnavailableError`."""
Message = tuple[str, str, bytes]
"""Kind ('subscribe', 'unsubscribe' or 'message'), channel, data."""


class Channels:
    """The channels that one connection listens to, used by one thread. It connects with the first of them.

    After an error it is of no use any more: close it and make another one, which listens to nothing yet.
    Errors of every method but `close`: `StoreUnavailableError`.
    """

    def __init__(self, client: redis.Redis, answering: Answering, here: Callable[[], bool] = lambda: True):
        """here: whether that is still where one publishes; a store may move to another server."""
        self._answering = answering
        self._here = here
        self._listener = client.pubsub()  # type: ignore[no-untyped-call]

    def listen(self, more: Collection[str], no_more: Collection[str]) -> None:
        """Ask to hear of `more` and not of `no_more`; a message of kind 'subscribe' says from when on that holds."""
        with self._answering():
            if more:
                self._listener.subscribe(*more)
            if no_more:
                self._listener.unsubscribe(*no_more)

    def wait(self, seconds: float, most: int) -> list[Message]:
        """Wait at most `seconds` for messages; returns those that are there by then, at most `most`."""
        messages: list[Message] = []
        with self._answering():
            if not self._here():
                raise redis.exceptions.ConnectionError("The store has moved.")
            found = self._listener.get_message(timeout=seconds)
            while found is not None:
                data = found["data"]
                messages.append(
                    (str(found["type"]), found["channel"].decode(), data if isinstance(data, bytes) else b"")
                )
                # not `get_message(timeout=0)`: of a message that has come in part that makes a broken connection
                more = len(messages) < most and self._listener.connection.can_read(timeout=0)
                found = self._listener.get_message(timeout=seconds) if more else None
        return messages

    def close(self) -> None:
        """End the connection. Twice is fine."""
        self._listener.close()
