"""Dispatch: takes calls out of the store for the benches of one host, and sends their answers. Used by the host."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping

from labkit.errors import NotStorableError, StoreUnavailableError
from labkit.loop.device_runner import DeviceRunner
from labkit.loop.own_calls import OwnCalls
from labkit.process import Begun
from labkit.store.calls import Call, Calls, Inbox, Reply
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

CALL_WAIT = 600.0


class Dispatch:
    """One thread that waits for calls of all benches at once and hands each to its device's runner.

    claims: the benches with the fences of their claims, as they are now. runner_for: the runner of a call's device.
    own: the calls of this process, which don't come through the store and are answered here.
    """

    def __init__(
        self,
        calls: Calls,
        claims: Callable[[], Mapping[str, int]],
        runner_for: Callable[[Call], DeviceRunner | None],
        own: OwnCalls,
    ):
        self._calls = calls
        self._own = own
        self._claims = claims
        self._runner_for = runner_for
        self._begun = Begun()
        self._wake_key = f"host:{os.getpid()}:{id(self)}"

    def thread(self) -> LabThread:
        """A new thread that dispatches until it is stopped."""
        return LabThread("calls", self._work, wake=self.wake)

    def wake(self) -> None:
        """Bring the wait back, for the claims have changed."""
        try:
            self._calls.wake_host(self._wake_key)
        except StoreUnavailableError:
            log.debug("dispatch wakes up by itself when the store is back")

    def reply(self, call: Call, reply: Reply) -> None:
        """Answer a call. Never raises: a caller without an answer reports it as lost by itself."""
        try:
            if not self._own.answer(call, reply):
                self._calls.reply(call, reply)
        except NotStorableError as error:
            what = f"{call.command} of device '{call.device}' was done, but its result can't be stored: {error}"
            self.reply(call, Reply(error="DriverError", kind="NotStorableError", message=what))
        except StoreUnavailableError:
            log.warning("reply lost with the store device=%s command=%s", call.device, call.command)
        except Exception:  # the device's thread has more to do, and its device is well
            log.exception("reply lost device=%s command=%s", call.device, call.command)

    def _work(self, stopping: threading.Event) -> None:
        with contextlib.closing(self._calls.inbox(self._wake_key)) as inbox:
            while inbox.asked or not stopping.is_set():
                try:
                    self._take(inbox, stopping)
                except StoreUnavailableError:
                    stopping.wait(0.5)
                except Exception:
                    log.exception("call can't be read; its caller reports it as lost")
                    stopping.wait(0.1)  # whatever it was, it must not take the whole processor

    def _take(self, inbox: Inbox, stopping: threading.Event) -> None:
        """Wait for a call, hand it over, and ask for the next one while the device's thread wakes up: so this one goes
        right back to sleep, and does not hold the interpreter up when the other wants it."""
        sent = inbox.take(self._claims(), CALL_WAIT)
        if sent is not None:
            self._hand_over(Call.load(sent))
            if not stopping.is_set():
                inbox.ask(self._claims(), CALL_WAIT)

    def _hand_over(self, call: Call) -> None:
        if not self._begun.first(call.id):  # the store went back, and has forgotten that it was taken
            log.error("call is not run again device=%s command=%s", call.device, call.command)
            return
        runner = self._runner_for(call)
        if runner is not None:
            runner.submit(call)
            return
        text = f"Device '{call.device}' is not hosted here any more; nothing was done."
        self.reply(call, Reply(error="DeviceOfflineError", message=text))
