"""A store as large labs have it: a master, a replica that gets its copies by a wire that a test can hold up, and a
Sentinel. Real servers on the loopback, at ports that the system chooses. For the tests of fail-over.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from labkit.errors import StoreUnavailableError
from labkit.store.connection import Store
from labkit.store.embedded import server_program
from tests.ports import chosen_port
from tests.toy import wait_until

NAME = "main"
"""What the Sentinel calls the master."""
PATIENCE = 90.0
"""Seconds after which a fail-over has failed. One may come after a rest of thirty, see below."""
CALM, QUICK = 600_000, 1000
"""Milliseconds of silence after which a server counts as gone: while the test leaves the master alone, so many that no
pause of a busy machine is taken for its end; when it has taken the master away, so few that it need not wait."""
FAILOVER_TIMEOUT = 60_000
"""So long that nobody corrects the way by the wire meanwhile."""


def opened(url: str) -> contextlib.closing[Store]:
    """A lab's store, which is closed with the block."""
    return contextlib.closing(Store(url, "lab"))


def answer_of(store: Store, *command: str) -> Any:
    """What the store answers; None while it is away."""
    with contextlib.suppress(StoreUnavailableError):
        return store.command(*command)
    return None


class Wire:
    """A way from one port to another, by which nothing comes while it is held."""

    def __init__(self, target: int):
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="wire")]
        self._threads[0].start()

    def hold(self) -> None:
        """From now on keep what comes; nobody is told."""
        self._flows.clear()

    def let_go(self) -> None:
        self._flows.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pump, args=pair, name="wire"))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            end.close()
        self._flows.set()
        for thread in self._threads:
            thread.join(10)


class Server:
    """One server in a folder, and a client that asks it and nobody else."""

    def __init__(self, folder: Path, name: str, *arguments: str, password: str = ""):
        self.port = chosen_port()
        self._log = (folder / f"{name}.log").open("wb")
        arguments += ("--requirepass", password) if password else ()
        command = [server_program(), *arguments, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=folder
        )
        self.client: Any = redis.Redis(port=self.port, protocol=2, decode_responses=True, password=password or None)
        wait_until(self._answers, f"the {name}")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.exceptions.ConnectionError):
            return bool(self.client.ping())
        return False

    def about(self, section: str) -> dict[str, Any]:
        return dict(self.client.info(section))

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Twice is fine."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        self.process.wait(10)
        self._log.close()


class ClusterNode:
    """A cluster of one node, which has all slots. Use it as a context."""

    def __enter__(self) -> ClusterNode:
        self._folder = Path(tempfile.mkdtemp(prefix="labkit-node-"))
        self.server = Server(
            self._folder, "node", "--save", "", "--cluster-enabled", "yes", "--cluster-port", str(chosen_port())
        )
        try:
            self.server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: "cluster_state:ok" in str(self._state()), "a cluster that is well")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _state(self) -> object:
        """redis-py makes a dict of it in some versions, and leaves the text in others."""
        found = self.server.client.execute_command("CLUSTER", "INFO")
        return [f"{key}:{value}" for key, value in found.items()] if isinstance(found, dict) else found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"


class Fleet:
    """Use it as a context. sentinel: is there one? Else the lab knows the master by itself.

    password: of the servers, and `sentinel-` before it of the Sentinel; '' for none.
    """

    def __init__(self, *, sentinel: bool = True, password: str = ""):
        self._password = password
        self._folder = Path(tempfile.mkdtemp(prefix="labkit-fleet-"))
        self._stack = contextlib.ExitStack()
        self._has_sentinel = sentinel

    def __enter__(self) -> Fleet:
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self.master = self._server("master", "--repl-diskless-sync-delay", "0")
            self.wire = Wire(self.master.port)
            self._stack.callback(self.wire.close)
            self.replica = self._server("replica", "--replicaof", "127.0.0.1", str(self.wire.port))
            wait_until(lambda: self.replica.about("replication")["master_link_status"] == "up", "the replica")
            wait_until(self.replica_has_all, "the first copy")
            if self._has_sentinel:
                self.sentinel = self._sentinel()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _server(self, name: str, *arguments: str) -> Server:
        (self._folder / name).mkdir()
        if self._password:
            arguments += ("--masterauth", self._password)
        server = Server(
            self._folder / name, name, "--save", "", "--appendonly", "no", *arguments, password=self._password
        )
        self._stack.callback(server.end)
        return server

    def _sentinel(self) -> Server:
        folder = self._folder / "sentinel"
        folder.mkdir()
        lines = [f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 1"]
        lines += [f"sentinel down-after-milliseconds {NAME} {CALM}"]
        lines += [f"sentinel failover-timeout {NAME} {FAILOVER_TIMEOUT}"]
        lines += [f"sentinel auth-pass {NAME} {self._password}"] if self._password else []
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        sentinel = Server(folder, "sentinel", str(folder / "sentinel.conf"), "--sentinel", password=self._of_sentinel)
        self._stack.callback(sentinel.end)
        # else one that got no turn for two seconds, on a busy machine, trusts its clock no more and rests for thirty
        sentinel.client.execute_command("SENTINEL", "DEBUG", "TILT-TRIGGER", 10 * 60_000)

        def knows_the_replica() -> bool:
            found = sentinel.client.sentinel_slaves(NAME)
            return any(one["master-link-status"] == "ok" and one["flags"] == {"slave"} for one in map(_flags, found))

        wait_until(knows_the_replica, "a Sentinel that knows the replica")
        return sentinel

    @property
    def _of_sentinel(self) -> str:
        return f"sentinel-{self._password}" if self._password else ""

    @property
    def url(self) -> str:
        """The lab's; the first Sentinel that it names is none, so that it has to ask the next one."""
        if not self._has_sentinel:
            return f"redis://127.0.0.1:{self.master.port}/0"
        user, more = (f":{self._password}@", f"?sentinel_password={self._of_sentinel}") if self._password else ("", "")
        return f"redis+sentinel://{user}127.0.0.1:1,127.0.0.1:{self.sentinel.port}/{NAME}/0{more}"

    def replica_has_all(self) -> bool:
        """Whether everything that was written by now has come by the wire."""
        written = self.master.about("replication")["master_repl_offset"]
        return int(self.replica.about("replication")["slave_repl_offset"]) >= int(written)

    @contextlib.contextmanager
    def copies_held(self) -> Iterator[None]:
        """In this block the replica gets nothing any more."""
        self.wire.hold()
        try:
            yield
        finally:
            self.wire.let_go()

    def wait_for_promotion(self) -> None:
        """Wait until the Sentinel has made the replica the master, and tells it. Only now it minds that one is away."""
        self._gone_after(QUICK)
        asks = time.monotonic() + 10

        def promoted() -> bool:
            with contextlib.suppress(redis.exceptions.ConnectionError):  # the Sentinel ends all connections to it
                if self.replica.about("replication")["role"] == "master":
                    return True
            if time.monotonic() > asks:  # on a busy machine nobody looked well to it for a moment, and it has given up
                with contextlib.suppress(redis.exceptions.ResponseError):
                    self.sentinel.client.execute_command("SENTINEL", "FAILOVER", NAME)
            time.sleep(0.05)
            return False

        wait_until(promoted, "the promotion", PATIENCE)
        told = self.sentinel.client.sentinel_master
        wait_until(lambda: told(NAME)["port"] == self.replica.port, "the word of it", PATIENCE)
        self._gone_after(CALM)

    def _gone_after(self, milliseconds: int) -> None:
        self.sentinel.client.execute_command("SENTINEL", "SET", NAME, "down-after-milliseconds", milliseconds)

    def logs(self) -> str:
        return "\n".join(f"== {path.stem}\n{path.read_text()[-4000:]}" for path in self._folder.glob("*/*.log"))


def _flags(state: dict[str, Any]) -> dict[str, Any]:
    """redis-py makes a set of them in some versions, and leaves the text in others."""
    flags = state["flags"]
    return {**state, "flags": set(flags.split(",")) if isinstance(flags, str) else set(flags)}
