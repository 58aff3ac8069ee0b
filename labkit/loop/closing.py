"""Closing: how benches are given up: their devices made safe and closed, then left in the store. Used by the host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from labkit.clock import Deadline
from labkit.errors import StoreUnavailableError
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.hosted_bench import HostedBench
from labkit.store.reservations import Reservations

log = logging.getLogger("labkit.loop")

LOOK_SECONDS = 0.1
"""How often who waits for devices to close looks at all of them, where the one that it waits for takes longer."""


class Closing:
    """The way of a host's benches back. forget: is told of each that is closed, or kept because a device of it hangs.

    kept: those by name. They stay locked, and this machine's: nobody may open what is still open here.
    """

    def __init__(self, reservations: Reservations, forget: Callable[[HostedBench], None]):
        self.kept: dict[str, HostedBench] = {}
        self._reservations = reservations
        self._forget = forget

    @property
    def hanging(self) -> list[DeviceRunner]:
        """The runners that benches are kept for."""
        kept = list(self.kept.values())
        return [runner for bench in kept for runner in bench.runners.values() if runner.thread.is_alive()]

    def withdraw(self, benches: Sequence[HostedBench], silent: Callable[[], bool]) -> Iterator[HostedBench]:
        """Have no session get these benches any more, which are to be given up. silent: does the store not answer?

        Yields those that are left as closing: each beat must speak of them until they are closed. One that no session
        would get anyway keeps its conditions: they say what is wrong.
        """
        for bench in [bench for bench in benches if bench.could_be_given]:
            if silent():
                return
            try:
                if self._reservations.leave_idle_bench(bench.name, bench.claim):
                    yield bench
            except StoreUnavailableError:
                return  # the next question would wait as long, with the devices as they are
            except Exception:
                log.exception("bench can't be withdrawn bench=%s", bench.name)

    def close(self, benches: Sequence[HostedBench], why: str, seconds: float) -> None:
        """Make safe and close within `seconds`, then give the lock back: in this order, and each bench by itself."""
        for bench in benches:
            bench.begin_stop(why)
        for bench in as_they_close(benches, seconds):
            hanging = [runner.name for runner in bench.runners.values() if runner.thread.is_alive()]
            if hanging:
                log.error("bench kept: a device of it hangs bench=%s devices=%s", bench.name, ",".join(hanging))
                self.kept[bench.name] = bench
            self._forget(bench)
            if not hanging:
                self._leave(bench, why)

    def _leave(self, bench: HostedBench, why: str) -> None:
        try:
            self._reservations.leave_bench(bench.name, bench.claim)
        except StoreUnavailableError:
            log.info("bench left while the store was away bench=%s", bench.name)
        except Exception:
            log.exception("bench can't be left in the store bench=%s", bench.name)
        log.info("bench given up bench=%s reason=%s", bench.name, why)
        bench.lock.close()

    def let_go(self) -> Sequence[str]:
        """Unlock the benches whose threads have come back after all. Returns their names."""
        back = [bench for bench in self.kept.values() if not bench.alive]
        for bench in back:
            bench.lock.close()
            del self.kept[bench.name]
        return [bench.name for bench in back]


def as_they_close(benches: Sequence[HostedBench], seconds: float) -> Iterator[HostedBench]:
    """Benches whose threads were told to end: each as soon as they have, and where some don't within `seconds`, then.

    Nobody waits for a thread that is stuck in a driver, and what takes too long meanwhile is interrupted.
    """
    deadline, left = Deadline(seconds), list(benches)
    while left:
        over = [bench for bench in left if deadline.over or not bench.awaited]
        left = [bench for bench in left if bench not in over]
        yield from over
        for bench in left:
            bench.enforce()
        for thread in [thread for bench in left for thread in bench.awaited][:1]:
            thread.join(min(LOOK_SECONDS, deadline.left()))
