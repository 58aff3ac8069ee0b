"""A real store for tests: a private server on a Unix socket. For tests of labs as well as labkit's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import redis

from labkit.clock import Deadline
from labkit.errors import StoreUnavailableError
from labkit.store.embedded import server_program


class StoreServer:
    """A Valkey server that lives as long as the block: `with StoreServer() as server: Store(server.url, "lab")`.

    folder: where its files go; None: a temporary one, removed afterwards. append_only: keep the data over `restart()`.
    environment: variables that its process has beside this one's.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        append_only: bool = False,
        environment: Mapping[str, str] | None = None,
    ):
        self._own = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="labkit-store-"))
        self.socket = self.folder / "s"
        self._append_only = append_only
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process id, 0 while it is stopped."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the server; blocks until it answers. Errors: `StoreUnavailableError` after 30 s."""
        arguments = [
            str(server_program()),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "777",
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--appendonly",
            "yes" if self._append_only else "no",
            "--maxmemory-policy",
            "noeviction",
        ]
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **self._environment},
        )
        deadline = Deadline(30.0)
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            while not deadline.over:
                with contextlib.suppress(redis.exceptions.RedisError):
                    if client.ping():
                        return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.02)
                    break
        raise StoreUnavailableError(f"The test's store did not start in {self.folder}.")

    def stop(self, signal: int | None = None) -> None:
        """End the server (with a signal: by that one). Twice is fine."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal) if signal else process.terminate()
            process.wait(30)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> StoreServer:
        os.chmod(self.folder, 0o755)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)
