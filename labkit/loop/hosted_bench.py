"""HostedBench: one bench that a process has, with its file lock and the runners of its devices. Used by the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from labkit.devices.declaration import BenchDeclaration
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.upkeep import in_maintenance
from labkit.store.processes import BeatNews
from labkit.store.reservations import Condition
from labkit.threads import LabThread


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
    def could_be_given(self) -> bool:
        """Would the store give it to the next session, as far as its devices go?"""
        return self.free and all(runner.condition is Condition.OK for runner in self.runners.values())

    @property
    def alive(self) -> bool:
        """Does any thread of it live?"""
        return any(runner.thread.is_alive() for runner in self.runners.values())

    @property
    def awaited(self) -> Sequence[LabThread]:
        """The threads of it that live and will end once they are told to; one that is stuck in a driver is none."""
        return [runner.thread for runner in self.runners.values() if runner.thread.is_alive() and not runner.stuck]

    def begin_stop(self, why: str) -> None:
        """Ask its threads to make their devices safe, close them and end."""
        for runner in self.runners.values():
            runner.begin_stop(why)

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

        Returns the runners whose word did not reach the store, or was forgotten there: a store may go back a moment.
        """
        again = []
        for device, runner in self.runners.items():
            hold = news.holds.get(device)
            unknown = news.conditions.get(device, runner.condition) != runner.condition
            if runner.follow(*((hold.state, hold.fence, hold.until) if hold else ("none", 0))) or unknown:
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
