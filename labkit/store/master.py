"""Where the master of a store is that has replicas and Sentinels, asked for with each new connection. Used by the
connection.

redis-py's own pool for Sentinels is left out: it swaps the Sentinels that it asks without a lock, so threads that ask
at once lose one of them for good; and it moves only the connections of one pool, where a lab's process has several.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import redis
from redis.connection import parse_url

from labkit.store.address import SentinelAddress, tls_rules

log = logging.getLogger("labkit.store")

ASK_SECONDS = 2.0
"""A Sentinel that does not answer within this long is passed over."""
_SILENT = (redis.exceptions.RedisError, OSError)


class Master:
    """Finds the master of one store for all its connections. Safe for many threads, and after a fork: it has no lock,
    and what it knows is exchanged, never changed.

    on_move: told, on the thread that asks, when it is another one than the last time.
    """

    def __init__(self, address: SentinelAddress, on_move: Callable[[], None]):
        self._address = address
        self._on_move = on_move
        self._order = list(address.sentinels)
        self._last: tuple[str, int] | None = None
        direct: dict[str, Any] = dict(parse_url(address.direct))  # type: ignore[no-untyped-call]
        self._secure = direct.pop("connection_class", None) is not None
        direct |= tls_rules(address.direct)
        self.options = {key: value for key, value in direct.items() if key not in ("host", "port")}
        """How one speaks to the master: database, user, password, TLS."""

    def __repr__(self) -> str:
        return f"<Master {self._address.service} last={self._last}>"

    def pool(self, **options: Any) -> redis.ConnectionPool:
        """Make a pool whose connections each ask first."""
        kind = _SecureToMaster if self._secure else _ToMaster
        return redis.ConnectionPool(connection_class=kind, master=self, **{**options, **self.options})

    def find(self) -> tuple[str, int]:
        """Host and port of the master. Blocks, at most `ASK_SECONDS` for each Sentinel.

        Errors: redis-py's `ConnectionError` where no Sentinel knows it.
        """
        reasons: list[str] = []
        for sentinel in self._order:
            try:
                found = self._ask(sentinel)
            except _SILENT as error:
                log.debug("Sentinel was passed over address=%s:%d error=%s", *sentinel, error)
                reasons.append(f"{sentinel[0]}:{sentinel[1]}: {str(error).rstrip('.')}")
                continue
            if found is not None:
                self._note(sentinel, found)
                return found
            reasons.append(f"{sentinel[0]}:{sentinel[1]} knows no master of this name")
        raise redis.exceptions.ConnectionError(
            f"Error connecting to the master '{self._address.service}': none of its Sentinels knows where it is "
            f"({'; '.join(reasons)})."
        )

    def doubt(self) -> None:
        """What was found is no master: ask another Sentinel first the next time."""
        self._order = [*self._order[1:], *self._order[:1]]

    def _note(self, sentinel: tuple[str, int], found: tuple[str, int]) -> None:
        self._order = sorted(self._order, key=lambda one: one != sentinel)  # it answers, so it comes first from now on
        last, self._last = self._last, found
        if last not in (None, found):
            log.warning("store has another master service=%s address=%s:%d", self._address.service, *found)
            self._on_move()

    def _ask(self, sentinel: tuple[str, int]) -> tuple[str, int] | None:
        """What one Sentinel says; None: it knows no such master. Errors: `_SILENT`.

        A connection of its own: that is rare, and nothing is to be left of it.
        """
        kind: Any = redis.SSLConnection if self._secure else redis.Connection
        tls = {key: value for key, value in self.options.items() if key.startswith("ssl_")}
        wanted = {"username": self._address.username, "password": self._address.password}
        connection: Any = kind(
            host=sentinel[0],
            port=sentinel[1],
            socket_timeout=ASK_SECONDS,
            socket_connect_timeout=ASK_SECONDS,
            protocol=2,
            **tls,
            **{name: value for name, value in wanted.items() if value},
        )
        try:
            connection.connect()
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            found = connection.read_response()
        finally:
            connection.disconnect()
        return (found[0].decode(), int(found[1])) if found else None


class _Asking:
    """A connection that asks where the master is whenever it connects, also again."""

    def __init__(self, *, master: Master, **options: Any):
        self._master = master
        super().__init__(**options)

    def _connect(self) -> Any:
        self.host, self.port = self._master.find()
        return super()._connect()  # type: ignore[misc]


class _ToMaster(_Asking, redis.Connection):
    pass


class _SecureToMaster(_Asking, redis.SSLConnection):
    pass
