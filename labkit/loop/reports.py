"""Reports: what runners say of their devices, on its way to the store and to whoever listens. Used by the host."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from labkit.errors import StoreUnavailableError
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.hosted_bench import HostedBench
from labkit.plugin import DeviceEvent
from labkit.store.reservations import Reservations

log = logging.getLogger("labkit.loop")


class Reports:
    """on_change: hears of each change of a device's condition, once, in order, with no lock of the host's held."""

    def __init__(self, reservations: Reservations, on_change: Callable[[DeviceEvent], None] | None):
        self._reservations = reservations
        self._on_change = on_change
        self._unsaid: set[DeviceRunner] = set()
        self._refused: set[DeviceRunner] = set()
        """Whose words the store did not take, which was logged; they are tried on, for whoever mends it."""
        self._events: deque[DeviceEvent] = deque()
        self._collecting = threading.Lock()
        self._announcing = threading.Lock()

    def want(self, runner: DeviceRunner) -> None:
        """Tell the store once more how a device is: its last word did not arrive."""
        self._unsaid.add(runner)

    def drop(self, runner: DeviceRunner) -> None:
        """Tell the store nothing: the bench is another claim's by now. Whoever listens still hears what has changed."""
        self._unsaid.discard(runner)
        self._refused.discard(runner)
        self.announce(runner)

    def unsaid(self) -> list[DeviceRunner]:
        """Those of which the store does not know the latest."""
        return list(self._unsaid)

    def tell(self, runner: DeviceRunner, bench: HostedBench) -> bool:
        """Tell the store a device's condition; where that fails it is told with the next beat. False: the claim of the
        bench stands no more. Never raises."""
        stands = True
        try:
            with runner.telling:  # else who tells at the same time could take this one's failure for said
                self._unsaid.add(runner)
                stands = self._reservations.report(bench.name, bench.claim, runner.name, *runner.facts)
                self._unsaid.discard(runner)
                self._refused.discard(runner)
        except StoreUnavailableError:
            log.info("condition not told yet device=%s condition=%s", runner.name, runner.condition)
        except Exception:  # one device of which the store takes no word must hold up no other one
            if runner not in self._refused:
                log.exception("condition can't be told device=%s condition=%s", runner.name, runner.condition)
            self._refused.add(runner)
        self.announce(runner)
        return stands

    def announce(self, runner: DeviceRunner) -> None:
        """Hand on what has changed. Where another thread is at it, that one does it, so that the order stays."""
        with self._collecting:
            while runner.changes:
                self._events.append(runner.changes.popleft())
        while self._events and self._announcing.acquire(blocking=False):
            try:
                while self._events:
                    self._announce(self._events.popleft())
            finally:
                self._announcing.release()

    def _announce(self, event: DeviceEvent) -> None:
        if self._on_change is not None:
            try:
                self._on_change(event)
            except Exception:
                log.exception("a listener failed to hear of a device device=%s", event.device)
