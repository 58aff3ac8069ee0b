"""The connection to the store: runs scripts, waits in blocking reads. Used by `store/`, made by the lab.

Connections never retry by themselves: redis-py would send a script again whose reply was lost, and it would run
twice. Blocking reads have connections of their own, with a socket timeout of the wait plus a margin. Where the store
has another master now, or this one turns out to be a replica, all of them are dropped: new ones look for the master.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from labkit.errors import StoreUnavailableError
from labkit.store.address import hint, made_of, sentinel_address, tls_rules
from labkit.store.channels import Channels
from labkit.store.keys import Keys
from labkit.store.lines import Line
from labkit.store.master import Master
from labkit.store.pool import Argument, Pool, command, pack
from labkit.store.scripts import script_hash, script_source
from labkit.threads import LabThread

log = logging.getLogger("labkit.store")

_AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
# redis-py takes the code off the errors that it has a class for, and leaves it on all others.
_REFUSALS = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
)
_REFUSAL_WORDS = "LOADING READONLY OOM MISCONF NOAUTH NOPERM CLUSTERDOWN MASTERDOWN BUSY NOREPLICAS UNBLOCKED ACL"
_FORBIDDEN = r"NOPERM|^ACL failure|can't (?:run this|access at least)"
_REFUSED = re.compile(rf"^(?:{_REFUSAL_WORDS.replace(' ', '|')})\b|-(?:READONLY|OOM|MISCONF|NOREPLICAS) |{_FORBIDDEN}")
"""Such a word begins an error; where a script met it, Redis before 7 has it in the middle."""
_NO_MASTER = re.compile(r"READONLY|UNBLOCKED|read.only replica", re.IGNORECASE)

ANSWER_SECONDS = 5.0
MAX_WAIT = 600.0
"""Longest blocking read: who waits for news asks so rarely that an idle process sends its beats and nothing else."""
_WAITS = (2.0, 30.0, MAX_WAIT)
"""Longest waits of the connections for blocking reads: a short wait must not find out late that the store hangs."""
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds, seconds and number: a long wait finds out within half a minute that the store's machine has gone."""
_MARGIN = 5.0
IDLE_SECONDS = 5.0
_OWN_NAME: dict[str, Any] = {}
"""redis-py's name and version, for the server's list of clients: else it looks them up anew for each connection, which
takes it longer than to connect. Older versions of it do so once, and have no such option."""
if importlib.util.find_spec("redis.driver_info") is not None:
    _OWN_NAME["driver_info"] = importlib.import_module("redis.driver_info").DriverInfo()
COPY_SECONDS = 1.0
"""How long replicas have to get what was written, where LABKIT_STORE_REPLICAS has some get it."""

NO_TASK = ("", "")
"""Who asks, where a script wants to know which task does (id, process): none."""
Entry = tuple[str, dict[str, bytes]]
"""One entry of a stream: id and fields."""


class Keeper(Protocol):
    """What can bring a store that does not answer back: the embedded one."""

    @property
    def url(self) -> str: ...
    def ensure(self) -> None: ...
    def close(self) -> None: ...


class Store:
    """The store of one lab. Safe for many threads, and after a fork (each process makes connections of its own).

    url: of the store, or of Sentinels that know where it is (see `address`). replicas: how many have to get what
    `run_copied` writes. now: the time that scripts see, for tests; None: the store's own.
    Errors: `InvalidConfigError` where the URL is wrong; of every method `StoreUnavailableError`.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        keeper: Keeper | None = None,
        replicas: int = 0,
        now: float | None = None,
    ):
        self.url = url
        self.keys = Keys(prefix)
        self.replicas = replicas
        self.now = now
        address = sentinel_address(url)
        self._master = None if address is None else made_of(url, lambda: Master(address, self._look_anew))
        self._moves = 0
        self._keeper = keeper
        self._bringing = threading.Lock()
        self._helper: LabThread | None = None
        self._seconds = ANSWER_SECONDS
        self._heads: dict[str, bytes] = {}
        self._open()

    def _open(self) -> None:
        self._client = self._connect(self._seconds)
        self._quick = Pool(self._client)
        self._waiting = {wait: Pool(self._connect(wait + _MARGIN)) for wait in _WAITS}

    def answer_within(self, seconds: float) -> None:
        """From now on give the store so long to answer. Who ends has no time for one that hangs."""
        if seconds != self._seconds:
            self._seconds, self._client = seconds, self._connect(seconds)
            self._quick = Pool(self._client)

    def __repr__(self) -> str:
        return f"<Store prefix={self.keys.prefix}>"

    def _connect(self, timeout: float) -> redis.Redis:
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": timeout,
            "socket_connect_timeout": ANSWER_SECONDS,
            "protocol": 2,
            "encoding_errors": "backslashreplace",  # half a surrogate pair in somebody's text must stop nothing
            **_OWN_NAME,
            **_keepalive(self.url),
        }

        def make() -> redis.Redis:
            if self._master is not None:
                client = redis.Redis.from_pool(self._master.pool(**options))
            else:
                client = redis.Redis.from_url(self.url, **options, **tls_rules(self.url))
            # it counts all connections that it ever made, since it never sees one come back: `Pool` has them
            client.connection_pool.max_connections = sys.maxsize
            client.connection_pool.make_connection()  # only then it says what it has against its options
            return client

        return made_of(self.url, make)

    def run(self, script: str, *arguments: Argument) -> Any:
        """Run a script once. Its reply comes back with bytes as text where they are UTF-8 (see `text`)."""
        try:
            return self._quick.ask(self.packed_script(script, *arguments))
        except NoScriptError:
            with self._answering():
                return self._quick.ask(self._packed("EVAL", script_source(script), arguments))
        except RedisError:  # the way without an error is without a context: it is that of every guarded request
            with self._answering():
                raise

    def run_copied(self, script: str, *arguments: Argument) -> tuple[Any, bool]:
        """Run a script once, and give so many replicas as the lab wants time to have what was written up to it.

        Returns its answer, and whether they have it. Blocks `COPY_SECONDS` longer at most than `run`, which it is
        where the lab wants none.
        """
        if not self.replicas:
            return self.run(script, *arguments), True
        line = self.line()
        try:
            answer = self._ran(line, script, *arguments)
            copies = self._copies(line)
        finally:
            line.close()  # one that was given back stays
        if copies < self.replicas:
            log.warning("replicas are missing script=%s have=%d want=%d", script, copies, self.replicas)
        return answer, copies >= self.replicas

    def _ran(self, line: Line, script: str, *arguments: Argument) -> Any:
        """A script's answer; what it wrote is the last that this line has written."""
        line.send(self.packed_script(script, *arguments))
        try:
            return line.read()
        except NoScriptError:
            line.send(self._packed("EVAL", script_source(script), arguments))
            return line.read()

    def _copies(self, line: Line) -> int:
        """How many replicas have it; none where the store does not say: what it ran, it has run."""
        try:
            line.send(command(["WAIT", self.replicas, int(COPY_SECONDS * 1000)]))
            copies = int(line.read(COPY_SECONDS))
        except (StoreUnavailableError, RedisError):
            return 0
        line.give_back()
        return copies

    def line(self) -> Line:
        """A connection for a conversation, see `Line`."""
        return Line(self._waiting[_WAITS[0]], self._answering, self._seconds)

    def packed_script(self, script: str, *arguments: Argument) -> bytes:
        """A script's command for a line. Where its answer is the error NOSCRIPT, `run` it."""
        return self._packed("EVALSHA", script_hash(script), arguments)

    def _packed(self, word: str, script: str, arguments: Sequence[Argument]) -> bytes:
        """A script's command with the time that it is to see; what comes before that is always the same."""
        head = self._heads.get(script)
        if head is None:
            head = self._heads[script] = b"".join(pack([word, script, len(self.keys.all), *self.keys.all]))
        now = "" if self.now is None else repr(self.now)
        return b"*%d\r\n%b%b" % (4 + len(self.keys.all) + len(arguments), head, b"".join(pack((now, *arguments))))

    def command(self, *arguments: Argument) -> Any:
        """Run one plain command (reads, and deletions that may be repeated)."""
        with self._answering():
            return self._client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    def together(self, *commands: Sequence[Argument]) -> list[Any]:
        """Run several plain reads as one: nothing happens between them, and they take one round trip."""
        with self._answering(), self._client.pipeline(transaction=True) as several:
            for one in commands:
                several.execute_command(*one)  # type: ignore[no-untyped-call]
            return several.execute()

    def answers(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send several plain commands at once; returns each one's answer, or the error that the store answered."""
        with self._answering():
            connection = self._quick.take()
            try:
                connection.send_packed_command((b"".join(map(command, commands)),))
                answers = [_answer(connection) for _ in commands]
            except BaseException as error:
                connection.disconnect()
                if isinstance(error, (ValueError, AttributeError)):  # `Pool.close` took it away from under this thread
                    raise redis.exceptions.ConnectionError("The connection was closed here.") from error
                raise
            self._quick.give_back(connection)
        return answers

    def pop(self, keys: Sequence[str], seconds: float) -> tuple[str, bytes] | None:
        """Wait at most `seconds` (and MAX_WAIT) for the first element of one of the lists; None: nothing came."""
        with self._answering():
            found = self._for_waits(seconds).ask(command(["BLPOP", *keys, _wait(seconds)]))
        return None if found is None else (text(found[0]), found[1])

    def read_streams(
        self, positions: Mapping[str, str], seconds: float, count: int = 100
    ) -> list[tuple[str, list[Entry]]]:
        """Wait at most `seconds` for entries after these ids: [(key, [(id, fields)])], empty where nothing came."""
        places = [*positions, *positions.values()]
        asked = command(["XREAD", "COUNT", count, "BLOCK", int(_wait(seconds) * 1000), "STREAMS", *places])
        with self._answering():
            found = self._for_waits(seconds).ask(asked)
        return [(text(key), [_entry(row) for row in rows]) for key, rows in found or ()]

    def stream_after(self, key: str, position: str, count: int = 100) -> list[Entry]:
        """The entries of a stream after an id, at most `count`, without waiting."""
        with self._answering():
            rows = self._quick.ask(command(["XRANGE", key, f"({position}", "+", "COUNT", count]))
        return [_entry(row) for row in rows]

    def channels(self) -> Channels:
        """Make a connection that can listen to channels."""
        now = self._moves
        return Channels(self._client, self._answering, lambda: self._moves == now)

    def _for_waits(self, seconds: float) -> Pool:
        return self._waiting[next(wait for wait in _WAITS if _wait(seconds) <= wait)]

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except _REFUSALS as error:
            raise self._refusal(error) from error
        except _AWAY as error:
            self._drop_idle()  # where the store hangs, each of them would have to be waited for
            self._bring_back()
            raise StoreUnavailableError(
                f"The store does not answer ({error}).{hint(self.url, error)}", sent="connecting to" not in str(error)
            ) from error
        except redis.exceptions.ResponseError as error:
            if _REFUSED.search(str(error)):
                raise self._refusal(error) from error
            raise
        except RedisError as error:
            raise StoreUnavailableError(f"The store does not answer as it should ({error}).") from error

    def _refusal(self, error: Exception) -> StoreUnavailableError:
        """What a store has done that refuses to work: nothing, for it looks before the first thing that a script
        writes. Only a command that its rules (ACL) forbid is refused where it stands."""
        if isinstance(error, redis.exceptions.ReadOnlyError) or _NO_MASTER.search(str(error)):
            if self._master is not None:
                self._master.doubt()
            self._look_anew()
        in_the_middle = isinstance(error, redis.exceptions.NoPermissionError) or re.search(_FORBIDDEN, str(error))
        return StoreUnavailableError(f"The store refuses to work: {error}", sent=bool(in_the_middle))

    def _look_anew(self) -> None:
        """Drop all connections, those at work too: they lead to what is not the master, or hangs and may be no more."""
        self._moves += 1
        for pool in (self._quick, *self._waiting.values()):
            pool.close()
        self._drop_idle()

    def tidy(self) -> None:
        """Close the connections that nobody has used for `IDLE_SECONDS`."""
        for pool in (self._quick, *self._waiting.values()):
            pool.tidy(IDLE_SECONDS)

    def _drop_idle(self) -> None:
        for pool in (self._quick, *self._waiting.values()):
            pool.drop_idle()
        self._client.connection_pool.disconnect(inuse_connections=False)

    def _bring_back(self) -> None:
        """Have the keeper look after the store, on a thread of its own: that may take long, and nobody waits for it."""
        with self._bringing:
            if self._keeper is not None and (self._helper is None or not self._helper.is_alive()):
                self._helper = LabThread("store-keeper", self._ensure)
                self._helper.start()

    def _ensure(self, _: threading.Event) -> None:
        if self._keeper is None:
            return
        with contextlib.suppress(StoreUnavailableError):
            self._keeper.ensure()
            if self._keeper.url != self.url:  # its place has gone, and it has another one
                self.url = self._keeper.url
                self._open()

    def close(self) -> None:
        """Close this process's connections and give up the embedded store. Twice is fine."""
        self._client.close()
        for pool in (self._quick, *self._waiting.values()):
            pool.close()
        if self._keeper is not None:
            self._keeper.close()


def _keepalive(url: str) -> dict[str, Any]:
    """What a connection over TCP needs to notice a peer that has gone without a word."""
    if url.startswith("unix"):
        return {}
    options = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except (redis.exceptions.ResponseError, *_REFUSALS) as error:
        return error


def _wait(seconds: float) -> float:
    return max(0.01, min(seconds, MAX_WAIT))


def _entry(row: Any) -> Entry:
    identifier, flat = row
    return text(identifier), {text(flat[index]): flat[index + 1] for index in range(0, len(flat), 2)}


def text(value: Any) -> str:
    """Bytes of the store as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def record(flat: Sequence[Any]) -> dict[str, str]:
    """A flat list of field, value, field, value as a dict of text."""
    return {text(flat[index]): text(flat[index + 1]) for index in range(0, len(flat), 2)}
