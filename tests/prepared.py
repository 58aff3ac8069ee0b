"""Programs in processes of their own that have labkit imported already: forks of one that has done nothing else.

Importing it takes longer than most commands do, and a run of the tests has hundreds of them. What comes of a fork is an
ordinary process with its own folder, environment, files, signals and exit code. Who tests how a program starts starts
it anew (`Place.running`, `sys.executable`).

Used by `tests.cli.program`, `tests.flows.harness` and others. Started as a program this file is the process that forks:
it gets its orders by a socket, and ends with who holds the other end.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
OTHERS = ("flask.cli", "gunicorn.app.wsgiapp", "gunicorn.workers.gthread", "redis.client", "PIL.Image")
LARGEST = 128 * 1024
"""Bytes of an order; an environment of more is none that a test makes."""


class Prepared:
    """A process that runs `python -m MODULE ...`; as much of `subprocess.Popen` as the tests use."""

    def __init__(self, arguments: Sequence[str], pid: int, ending: socket.socket):
        self.args = list(arguments)
        self.pid = pid
        self.returncode: int | None = None
        self._ending = ending
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code (minus the signal's number where one ended it), or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Errors: `subprocess.TimeoutExpired`."""
        with self._lock:
            if self.returncode is None:
                self._ending.settimeout(timeout)
                try:
                    said = self._ending.recv(64)
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
                self._ending.close()
                assert said, "the process that forks has gone"
                self.returncode = int(said)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing where it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    module: str, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], out: int, err: int
) -> Prepared:
    """Start `python -m module arguments...` in a folder, with nothing to read; out, err: descriptors to write to."""
    return _forker().start(["-m", module, *arguments], folder, environment, out, err)


def run(
    module: str, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module arguments...` to its end. Errors: `subprocess.TimeoutExpired`, and it is killed."""
    with _written() as out, _written() as err:
        process = start(module, arguments, folder=folder, environment=environment, out=out.fileno(), err=err.fileno())
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout)
            raise
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return subprocess.CompletedProcess(process.args, code, *texts)


def _written() -> IO[bytes]:
    """A file without a name."""
    return open(os.memfd_create("written"), "rb", buffering=0)


@functools.cache
def _forker() -> Forker:
    """The one of this process; it is there from the first use until this process ends."""
    forker = Forker()
    atexit.register(forker.close)
    return forker


class Forker:
    """The near end of the process that forks."""

    def __init__(self) -> None:
        self._orders, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with far:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.prepared", str(far.fileno())],
                cwd=ROOT, env=kept, pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: int, err: int
    ) -> Prepared:
        order = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        ending, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far, self._lock:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [out, err, far.fileno()])
        pid = int(ending.recv(64))
        return Prepared(arguments, pid, ending)

    def close(self) -> None:
        self._orders.close()
        self._process.wait(60)


# -- in the process that forks


def _prepare() -> None:
    """Import what labkit's commands and services import sooner or later."""
    for package in ("labkit", "labkit_plugins"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.startswith("labkit.testing") and not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    for name in OTHERS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each fork copies all of it as soon as it collects


def _serve(orders: socket.socket) -> dict[str, Any]:
    """Fork for each order; returns in each fork, with its order. Ends with who gives the orders."""
    selector = selectors.DefaultSelector()
    selector.register(orders, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is orders:
                message, descriptors, _, _ = socket.recv_fds(orders, LARGEST, 3)
                if not message:
                    sys.exit()
                if _fork(selector, descriptors):
                    return dict(json.loads(message))
            else:
                _bury(selector, key)


def _fork(selector: selectors.BaseSelector, descriptors: Sequence[int]) -> bool:
    """Fork. True in the fork, which has nothing open then but what it reads from and writes to."""
    out, err, far = descriptors
    pid = os.fork()
    ending = socket.socket(fileno=far)
    if pid == 0:
        os.dup2(out, 1)
        os.dup2(err, 2)
        for key in list(selector.get_map().values()):
            _close(key)
        selector.close()
        ending.close()
    else:
        ending.send(str(pid).encode())
        selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, ending))
    os.close(out)
    os.close(err)
    return pid == 0


def _bury(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """A fork has ended: tell it to who waits for that."""
    pid, ending = key.data
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):  # nobody waits for it any more
        ending.send(str(code).encode())
    selector.unregister(key.fileobj)
    _close(key)


def _close(key: selectors.SelectorKey) -> None:
    if isinstance(key.fileobj, int):
        os.close(key.fileobj)
        key.data[1].close()
    else:
        key.fileobj.close()  # type: ignore[attr-defined]


def _become(order: Mapping[str, Any]) -> None:
    """Be in this process what `python -m MODULE ...` is in one of its own."""
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    _, module, *arguments = order["arguments"]
    first = [order["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*first, *(path for path in sys.path[1:] if path not in first)]
    sys.argv = [module, *arguments]
    sys.orig_argv = [sys.executable, *order["arguments"]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _prepare()
    try:
        order = _serve(socket.socket(fileno=int(sys.argv[1])))
    except KeyboardInterrupt:  # Ctrl-C reaches all processes of the terminal; who gives the orders says so
        sys.exit(1)
    _become(order)
