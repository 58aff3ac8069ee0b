"""The store of a run: one real server, reached over TCP and over a Unix socket. Used by the measures."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from labkit.store.embedded import server_program


@dataclass(frozen=True)
class BenchStore:
    """tcp, unix: the server's URLs. client: for the measure itself."""

    tcp: str
    unix: str
    pid: int
    client: redis.Redis

    def urls(self) -> dict[str, str]:
        """Each transport's name and URL; ratios are judged over TCP."""
        return {"TCP": self.tcp, "Unix socket": self.unix}

    def counters(self) -> dict[str, int]:
        """How often each command was served since the server's start, those inside scripts too."""
        stats: dict[str, Any] = self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(facts["calls"]) for name, facts in stats.items()}

    def counted(self) -> tuple[int, int]:
        """How often the server has read from a connection, and how many commands it has carried out but for INFO.

        The first is the number of round trips: what is sent together is read together. Asking makes two of them.
        """
        counters = self.counters()
        stats: dict[str, Any] = self.client.info("stats")
        return int(stats["total_reads_processed"]), sum(count for name, count in counters.items() if name != "info")


@contextlib.contextmanager
def store() -> Iterator[BenchStore]:
    """Run a store that keeps nothing on disk, on loopback and on a socket in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        port, path = free_port(), Path(folder) / "s"
        arguments = ["--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(path), "--dir", folder]
        command = [str(server_program()), *arguments, "--save", "", "--maxmemory-policy", "noeviction"]
        with open(os.devnull, "wb") as null:
            process = subprocess.Popen(command, stdout=null, stderr=null)
        try:
            yield BenchStore(f"redis://127.0.0.1:{port}/0", f"unix://{path}", process.pid, _connected(path))
        finally:
            process.terminate()
            process.wait(10)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _connected(path: Path) -> redis.Redis:
    client, ends = redis.Redis(unix_socket_path=str(path)), time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.01)
        else:
            return client
