"""The thread that has a camera's pictures while somebody wants them. Used by the driver.

It sleeps in one `poll`. While nobody looks there is no source: no program, no connection, no lamp on the camera. A
source that fails is begun anew after a pause that grows; who looks is told that there is no signal, and why.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labkit.plugin import DeviceOfflineError, Frame, InterruptedCallError
from labkit_plugins.camera import jpeg
from labkit_plugins.camera.presence import Presence
from labkit_plugins.camera.source import Ended, Picture, Said, Source

LINGER = 2.0
"""Seconds for which a source goes on when nobody wants it any more: who reloads a page has a picture at once."""

START_SECONDS = 30.0
"""What starting the program that reads a source may take on a very busy machine."""

_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
_REST = 1.0  # seconds from one start that fails to the next one, whoever asks
_PATIENCE = 2.0  # seconds for the thread to do what it is told


class NoSignalError(TimeoutError):
    """The camera is there, as far as can be seen, and gives no picture."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Whether pictures come. reason: why not, for people; '' where they do. since: UTC seconds of this change."""

    signal: bool
    reason: str = ""
    since: float = 0.0


@dataclass(kw_only=True, eq=False)
class _Waiter:
    """Somebody who wants one picture that is taken after `since` (UTC). began: seconds of the monotonic clock."""

    since: float
    began: float
    frame: Frame | None = None
    failure: Exception | None = None

    @property
    def done(self) -> bool:
        return self.frame is not None or self.failure is not None


@dataclass(kw_only=True)
class _Wish:
    """What other threads want of the capture thread; guarded by its lock."""

    stop: bool = False
    forget: int = 0
    looked: bool | None = None
    waiters: set[_Waiter] = field(default_factory=set)

    @property
    def picture(self) -> bool:
        return bool(self.looked or self.waiters)

    @property
    def newest(self) -> float:
        """When the last waiter came."""
        return max((waiter.began for waiter in self.waiters), default=0.0)


class Capture:
    """Pictures of one camera for whoever looks. begin: starts the source. explain: makes a
    reason fit to be shown. give, tell, lost: called on its thread."""

    def __init__(
        self,
        device: str,
        *,
        begin: Callable[[], Source],
        presence: Presence | None,
        timeout: float,
        explain: Callable[[str], str],
        give: Callable[[Frame], None],
        tell: Callable[[Signal], None],
        lost: Callable[[str], None],
    ):
        self._device = device
        self._begin = begin
        self._presence = presence
        self._timeout = timeout
        self._explain = explain
        self._give = give
        self._tell = tell
        self._lost = lost
        self._changed = threading.Condition()
        self._wish = _Wish()
        self._forgotten = 0
        self._gone: str | None = None
        self._ended = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # of the thread alone
        self._source: Source | None = None
        self._begun_at = self._silent_at = self._linger_until = 0.0
        self._retry_at = self._rest_until = 0.0
        self._failures = 0
        self._refused = ""
        self._signal: Signal | None = None
        self._shown_to = False
        self._presence_wakes = True
        self._thread = threading.Thread(target=self._run, name=f"camera:{device}", daemon=True)
        self._start_thread()

    def _start_thread(self) -> None:
        try:
            self._thread.start()
        except BaseException:
            os.close(self._wake)
            raise

    # -- from other threads

    @property
    def alive(self) -> bool:
        """Whether it may give pictures still; not where the camera has gone."""
        return not self._ended and self._gone is None

    def look(self, anybody: bool, *, unless_said: bool = False) -> None:
        """Say whether anybody looks. unless_said: only where nobody has said so before."""
        with self._changed:
            if self._wish.looked is None or not unless_said:
                self._wish.looked = anybody
        self._rouse()

    def take(self, seconds: float, what: str) -> Frame:
        """A picture that is taken from now on. Blocks `seconds` at most.

        Errors: `NoSignalError` at once where a source that was begun for this fails; `DeviceOfflineError`;
        `InterruptedCallError`.
        """
        with self._waiting() as waiter, self._changed:
            self._rouse()
            self._changed.wait_for(lambda: waiter.done or self._gone is not None or self._ended, seconds)
            if waiter.frame is not None:
                return waiter.frame
            if waiter.failure is not None:
                raise waiter.failure
            if self._gone is not None or self._ended:
                raise DeviceOfflineError(f"'{self._device}': {self._gone or 'it was closed'}.", device=self._device)
            raise NoSignalError(f"'{self._device}' gave no picture for the {what} within {seconds:g} s.")

    def interrupt(self) -> None:
        """End every `take` that waits now."""
        with self._changed:
            for waiter in self._wish.waiters:
                waiter.failure = InterruptedCallError(
                    f"'{self._device}' was interrupted while it waited for a picture: its session is over, or it took "
                    "too long.",
                    device=self._device,
                )
            self._changed.notify_all()

    def forget(self) -> None:
        """End the source and keep nothing of it; returns when that is done. Errors: RuntimeError where it is not."""
        with self._changed:
            self._wish.forget += 1
            wanted = self._wish.forget
            self._rouse()
            if not self._changed.wait_for(lambda: self._forgotten >= wanted or self._ended, _PATIENCE):
                raise RuntimeError(f"The source of '{self._device}' could not be ended within {_PATIENCE:g} s.")

    def close(self) -> None:
        """End the source and the thread. Twice is fine; from any thread, its own too."""
        with self._changed:
            self._wish.stop = True
        self._rouse()
        if threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE)

    @contextmanager
    def _waiting(self) -> Iterator[_Waiter]:
        waiter = _Waiter(since=time.time(), began=time.monotonic())
        with self._changed:
            self._wish.waiters.add(waiter)
        try:
            yield waiter
        finally:
            with self._changed:
                self._wish.waiters.discard(waiter)
            self._rouse()

    def _rouse(self) -> None:
        with self._changed:
            if not self._ended:
                os.eventfd_write(self._wake, 1)

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._wish.stop and self._gone is None:
                self._turn()
        finally:
            self._drop()
            if not self._wish.stop and self._gone is None:
                self._lost("The capture of pictures failed; the log says why.")
            with self._changed:
                self._ended = True
                os.close(self._wake)
                self._changed.notify_all()

    def _turn(self) -> None:
        self._forget_if_asked()
        self._follow_wishes()
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._presence is not None and self._presence_wakes:
            poll.register(self._presence.fd, self._presence.events)
        if self._source is not None:
            poll.register(self._source.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._patience())}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self._presence is not None and self._presence.fd in ready:
            if not self._still_there(self._presence):
                return
            self._presence_wakes = False  # a driver that wakes us for nothing would do so all the time
        if self._source is not None and self._source.fd in ready:
            self._hear(self._source)
        if self._source is not None and time.monotonic() >= self._silent_at:
            self._failed(self._refused or f"no picture came for {self._timeout:g} s")

    def _forget_if_asked(self) -> None:
        with self._changed:
            asked = self._wish.forget
        if asked > self._forgotten:
            self._drop()
            self._signal = None
            with self._changed:
                self._forgotten = asked
                self._changed.notify_all()

    def _follow_wishes(self) -> None:
        """Begin or end the source, as somebody wants pictures or nobody does."""
        now = time.monotonic()
        with self._changed:
            wanted, looked = self._wish.picture, bool(self._wish.looked)
            due = self._due()
        if wanted:
            self._linger_until = now + LINGER
        elif self._source is None:
            self._failures, self._retry_at, self._signal = 0, 0.0, None
        elif now >= self._linger_until:
            self._drop()
            self._signal = None
        if wanted and self._source is None and now >= due:
            self._start(now)
        if looked and not self._shown_to and self._signal is not None:
            self._tell(self._signal)  # who looks from now on has not heard it
        self._shown_to = looked

    def _due(self) -> float:
        """When the source may be begun: after its pause, or soon for who came since it was begun last."""
        if self._wish.newest > self._begun_at:
            return self._rest_until
        return max(self._rest_until, self._retry_at)

    def _start(self, now: float) -> None:
        self._begun_at, self._refused = now, ""
        try:
            self._source = self._begin()
        except (OSError, ValueError) as error:
            self._failed(str(error).removesuffix("."))
        else:
            self._silent_at = now + START_SECONDS + self._timeout

    def _hear(self, source: Source) -> None:
        for said in source.read():
            self._take_in(said)
            if self._source is None:
                return

    def _take_in(self, said: Said) -> None:
        if isinstance(said, Ended):
            self._failed(said.reason)
        elif isinstance(said, Picture):
            self._show(said)
        else:
            self._silent_at = time.monotonic() + self._timeout

    def _show(self, picture: Picture) -> None:
        """Hand a picture on, if it is one."""
        try:
            data, width, height = jpeg.picture(picture.data)
        except jpeg.NotAPictureError as error:
            self._refused = f"what comes is no picture: {error}"
            return
        self._silent_at, self._failures = time.monotonic() + self._timeout, 0
        frame = Frame(data=data, captured=picture.captured, width=width, height=height)
        self._say(Signal(signal=True, since=time.time()))
        self._give(frame)
        with self._changed:
            for waiter in self._wish.waiters:
                if not waiter.done and picture.captured >= waiter.since:
                    waiter.frame = frame
            self._changed.notify_all()

    def _failed(self, reason: str) -> None:
        """The source gives nothing: say so, and begin anew after a pause, or soon for who came meanwhile."""
        self._drop()
        if self._presence is not None and not self._still_there(self._presence):
            return
        reason = self._explain(reason)
        self._retry_at = time.monotonic() + _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._rest_until = self._begun_at + _REST
        self._failures += 1
        self._say(Signal(signal=False, reason=reason, since=time.time()))
        with self._changed:
            for waiter in self._wish.waiters:
                if not waiter.done and waiter.began <= self._begun_at:
                    waiter.failure = NoSignalError(f"'{self._device}' gives no picture: {reason}.")
            self._changed.notify_all()

    def _still_there(self, presence: Presence) -> bool:
        reason = presence.gone()
        if reason is None:
            return True
        self._drop()
        with self._changed:
            self._gone = reason
            self._changed.notify_all()
        self._lost(f"{reason[0].upper()}{reason[1:]}.")
        return False

    def _say(self, signal: Signal) -> None:
        before = self._signal
        if before is None or (before.signal, before.reason) != (signal.signal, signal.reason):
            self._signal = signal
            self._tell(signal)

    def _drop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _patience(self) -> float | None:
        """Milliseconds until there is something to do by itself, rounded up."""
        with self._changed:
            wanted, begin_at = self._wish.picture, self._due()
        due = []
        if self._source is not None:
            due += [self._silent_at] if wanted else [self._silent_at, self._linger_until]
        elif wanted:
            due.append(begin_at)
        return None if not due else max(0.0, min(due) - time.monotonic()) * 1000 + 1
