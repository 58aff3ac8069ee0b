"""HostedBench: one bench that a process has, with its file lock and the runners of its devices. Used by the host."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from labkit.devices.declaration import BenchDeclaration
from labkit.loop.device_runner import DeviceRunner
from labkit.store.processes import BeatNews


def take_lock(folder: Path, bench: str) -> IO[str] | None:
    """The bench's file lock, which one process of a machine has at a time: a dead one loses it, a stopped one keeps it.

    None: somebody has it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open(folder / f"{bench}.lock", "a+")  # noqa: SIM115 - held for as long as the bench is hosted
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


@dataclass(frozen=True, kw_only=True, eq=False)
class HostedBench:
    """claim: the fence of the claim in the store. runners: by the device's full name."""

    declaration: BenchDeclaration
    lock: IO[str]
    claim: int
    runners: Mapping[str, DeviceRunner]

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def free(self) -> bool:
        """Has no session a device of it, and is none being released?"""
        return all(runner.free for runner in self.runners.values())

    @property
    def alive(self) -> bool:
        """Does any thread of it live?"""
        return any(runner.thread.is_alive() for runner in self.runners.values())

    def revoke(self, why: str) -> None:
        """Let no call through any more."""
        for runner in self.runners.values():
            runner.revoke(why)

    def enforce(self) -> None:
        """Interrupt what has run past its limit."""
        for runner in self.runners.values():
            runner.enforce()

    def follow(self, news: BeatNews) -> list[DeviceRunner]:
        """Hear the holds of the devices, and whether the bench is in maintenance.

        Returns the runners whose word on a release did not reach the store.
        """
        again = []
        for device, runner in self.runners.items():
            hold = news.holds.get(device)
            if runner.follow(hold.state if hold else "none", hold.fence if hold else 0):
                again.append(runner)
        self._keep_in_maintenance(news.maintained.get(self.name))
        return again

    def _keep_in_maintenance(self, reason: str | None) -> None:
        """Close the devices as soon as nobody has the bench, and open them when it is in service again."""
        for runner in self.runners.values():
            if reason is None:
                runner.resume()
            elif self.free:
                runner.rest(in_maintenance(reason))


def in_maintenance(reason: str) -> str:
    """The reason of a device's condition while its bench is in maintenance."""
    return f"in maintenance: {reason}"
