"""Dispatch: takes calls out of the store for the benches of one host, and sends their answers. Used by the host."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping

from labkit.errors import NotStorableError, StoreUnavailableError
from labkit.loop.device_runner import DeviceRunner
from labkit.store.calls import Call, Calls, Reply
from labkit.threads import LabThread

log = logging.getLogger("labkit.loop")

CALL_WAIT = 600.0


class Dispatch:
    """One thread that waits for calls of all benches at once and hands each to its device's runner.

    claims: the benches with the fences of their claims, as they are now. runner_for: the runner of a call's device.
    """

    def __init__(
        self,
        calls: Calls,
        claims: Callable[[], Mapping[str, int]],
        runner_for: Callable[[Call], DeviceRunner | None],
    ):
        self._calls = calls
        self._claims = claims
        self._runner_for = runner_for
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
            self._calls.reply(call, reply)
        except NotStorableError as error:
            what = f"{call.command} of device '{call.device}' was done, but its result can't be stored: {error}"
            self.reply(call, Reply(error="DriverError", kind="NotStorableError", message=what))
        except StoreUnavailableError:
            log.warning("reply lost with the store device=%s command=%s", call.device, call.command)

    def _work(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                call = self._calls.take(self._claims(), self._wake_key, CALL_WAIT)
            except StoreUnavailableError:
                stopping.wait(0.5)
            except Exception:
                log.exception("call can't be read; its caller reports it as lost")
            else:
                if call is not None:
                    self._hand_over(call)

    def _hand_over(self, call: Call) -> None:
        runner = self._runner_for(call)
        if runner is not None:
            runner.submit(call)
            return
        text = f"Device '{call.device}' is not hosted here any more; nothing was done."
        self.reply(call, Reply(error="DeviceOfflineError", message=text))
