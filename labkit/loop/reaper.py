"""Reaper: ends what is overdue. Used by the loop and by web processes with threads of their own.

It has no clock of its own: each beat's answer carries what is due. Each ending runs on its own thread, so a slow one
delays no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from labkit.errors import StoreUnavailableError
from labkit.lab import Lab
from labkit.log_text import hashed
from labkit.sessions import end_overdue_session
from labkit.store.processes import BeatNews
from labkit.store.sessions import EndReason
from labkit.threads import LabThread, stop_all

log = logging.getLogger("labkit.loop")

MOST_ENDINGS = 64


class Reaper:
    """Looks after what each beat says is due. `start()` and `stop()` may be called twice."""

    def __init__(self, lab: Lab):
        self._lab = lab
        self._lock = threading.Lock()
        self._endings: dict[str, LabThread] = {}
        self._fences: dict[str, int] = {}
        self._running = False

    def start(self) -> None:
        """Begin; endings that were left behind are found by the next beat."""
        if not self._running:
            self._running = True
            self._lab.process.on_news(self._hear)
            self._lab.process.add_role("endings")
            self._lab.process.listen()

    def stop(self, seconds: float = 5.0) -> None:
        """Take no new ending on, and wait for those under way; what is left is another process's to go on with."""
        self._running = False
        self._lab.process.forget(self._hear)
        self._lab.process.drop_role("endings")
        with self._lock:
            endings = list(self._endings.values())
        stop_all(endings, seconds)

    @property
    def endings(self) -> int:
        """How many endings are under way here."""
        return len(self._endings)

    def _hear(self, news: BeatNews) -> None:
        """On the beat's thread: quick, only hands work on."""
        if news.went_back:
            highest = self._lab.process.highest_fence
            self._begin("store-went-back", lambda: self._end_lost(highest))
        for session_id in news.due:
            self._begin(session_id, partial(self._end, session_id))
        for session_id in self._shown_again(news):  # last: an ending that was left behind may be shown with each beat
            self._begin(session_id, partial(self._end_as_lost, session_id))

    def _shown_again(self, news: BeatNews) -> set[str]:
        """Sessions that have a device of this process under an earlier fence than it had before: the store went back.

        Its counter does not always say so: somebody may have been given a new fence before this process asked.
        """
        stale = set()
        for device, hold in news.holds.items():
            if hold.fence < self._fences.setdefault(device, hold.fence):
                stale.add(hold.session)
            self._fences[device] = max(hold.fence, self._fences[device])
        return stale

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        with self._lock:
            if name in self._endings or len(self._endings) >= MOST_ENDINGS:
                return
            thread = LabThread(f"reaper:{hashed(name)}", lambda _: self._work(name, work))
            thread.start()  # before it is noted: where no thread can be had, the next beat tries again
            self._endings[name] = thread

    def _work(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreUnavailableError as error:
            log.warning("reaper waits for the store error=%s", error)
        except Exception:
            log.exception("reaper failed; it is tried again what=%s", hashed(name))
        finally:
            with self._lock:
                self._endings.pop(name, None)

    def _end(self, session_id: str) -> None:
        end_overdue_session(self._lab, session_id)

    def _end_lost(self, highest: int) -> None:
        """The store has gone back: sessions that it shows with a fence of before may have ended already."""
        for session_id, fence in self._lab.reservations.holders().items():
            if fence <= highest:
                self._end_as_lost(session_id)

    def _end_as_lost(self, session_id: str) -> None:
        """Each beat says it again, until the session has ended: so only what this has begun is logged."""
        word, _ = self._lab.sessions.end(session_id, EndReason.LOST)
        if word == "begun":
            log.warning("session ended, for the store went back session=%s", hashed(session_id))
