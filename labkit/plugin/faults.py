"""Where the faults of a simulated device lie, and how word of them gets to it. Used by `twin`.

They are in the file `faults` of the device's folder, with the process that they are for: in another process the device
begins without any. A datagram to the socket `wake` beside it tells an open twin at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_JOIN_SECONDS = 2.0


class FaultFile:
    """The faults of one device. Errors of all but `take`: ConnectionError where no living process has taken it."""

    def __init__(self, folder: Path, device: str):
        self._folder = folder
        self._device = device

    def take(self) -> None:
        """This process simulates the device from now on; where it has not before, nothing is wrong with it."""
        with self._locked("a+") as file:
            if _read(file).get("process") != _process(os.getpid()):
                _write(file, {"process": _process(os.getpid()), "faults": []})

    def read(self) -> frozenset[str]:
        """The faults that the device has now."""
        with self._of_a_living_process() as (_, content):
            return frozenset(content["faults"])

    def change(self, change: Callable[[set[str]], None]) -> None:
        """Let `change` add or remove faults, and wake the twin."""
        with self._of_a_living_process() as (file, content):
            faults = set(content["faults"])
            change(faults)
            _write(file, content | {"faults": sorted(faults)})
        _send(self._folder)

    @contextmanager
    def _of_a_living_process(self) -> Iterator[tuple[IO[str], dict[str, Any]]]:
        with self._locked("a+") as file:
            content = _read(file)
            process = content.get("process")
            if process is None or _process(process["pid"]) != process:
                raise ConnectionError(f"Nobody simulates '{self._device}' at the moment.")
            yield file, content

    @contextmanager
    def _locked(self, mode: str) -> Iterator[IO[str]]:
        try:
            file = (self._folder / "faults").open(mode)
        except FileNotFoundError:  # the folder: no twin was ever here
            raise ConnectionError(f"Nobody has simulated '{self._device}' here yet.") from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


class FaultListener(threading.Thread):
    """The thread of an open twin that waits for word: `heard` is called for each, and says whether to go on."""

    def __init__(self, folder: Path, name: str, heard: Callable[[], bool]):
        super().__init__(name=name, daemon=True)
        self._folder = folder
        self._heard = heard
        self._stopped_inside = False
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        (folder / "wake").unlink(missing_ok=True)
        with _address(folder) as address:
            self._socket.bind(address)
        (folder / "wake").chmod(0o600)

    def run(self) -> None:
        self._listen()
        if self._stopped_inside:
            self._close()

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        going_on = True
        while going_on:
            if self._end in dict(poll.poll()):  # ends by `stop`: its eventfd stays readable
                return
            self._socket.recv(1)
            going_on = self._heard()

    def stop(self) -> None:
        """End the thread and wait for it, 2 s at most; call it once. From any thread, its own (in `heard`) too."""
        (self._folder / "wake").unlink(missing_ok=True)
        if self.ident is None:  # it could not be started
            self._close()
            return
        os.eventfd_write(self._end, 1)
        if threading.current_thread() is self:
            self._stopped_inside = True
            return
        self.join(_JOIN_SECONDS)
        if not self.is_alive():
            self._close()

    def _close(self) -> None:
        os.close(self._end)
        self._socket.close()


def _send(folder: Path) -> None:
    """Wake the twin, where it is open; where it is not, it reads its faults when it is opened."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender, _address(folder) as address:
        try:
            sender.sendto(b"!", address)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):  # closed; or woken already
            return


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """A short name for the socket: an address may have 107 bytes at most, and a folder is easily longer."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/wake"
    finally:
        os.close(opened)


def _process(pid: int) -> dict[str, Any] | None:
    """What tells this process from all others that have had its number, or will; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return {"pid": pid, "started": stat.rpartition(")")[2].split()[19]}


def _read(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        content: dict[str, Any] = json.load(file)
    except ValueError:  # new, or cut short by the end of who wrote it
        return {}
    return content


def _write(file: IO[str], content: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    json.dump(content, file)
    file.flush()
