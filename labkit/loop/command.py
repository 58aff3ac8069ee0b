"""Command: one use of a driver's method, whole, or step by step where it gives the thread back. Used by the runner."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Generator
from typing import Any, cast

from labkit.devices.nearest import nearest
from labkit.errors import CommandError
from labkit.loop.answers import text_of
from labkit.loop.device_link import OpenDevice
from labkit.store.calls import Call, Reply

log = logging.getLogger("labkit.loop")


class Command:
    """A call on its way through the driver."""

    def __init__(self, call: Call):
        self.call = call
        self._steps: Generator[Any, None, Any] | None = None

    def advance(self, device: OpenDevice | None) -> Reply | None:
        """Run it, or its next step. None: it gave the thread back, and goes on later.

        Errors: what the driver raises, `CommandError`.
        """
        if self._steps is None:
            result = self._run(device)
            if not inspect.isgenerator(result):
                return Reply(value=result)
            self._steps = cast("Generator[Any, None, Any]", result)
            return None
        try:
            next(self._steps)
        except StopIteration as end:
            return Reply(value=end.value)
        return None

    def close(self) -> None:
        """End a command that gave the thread back. What the driver raises as it cleans up is logged."""
        try:
            if self._steps is not None:
                self._steps.close()
        except BaseException as error:
            log.warning("command did not end cleanly device=%s error=%s", self.call.device, text_of(error))

    def _run(self, device: OpenDevice | None) -> Any:
        call = self.call
        spec = device.commands.get(call.command) if device is not None else None
        if device is None or spec is None or (call.panel and not spec.panel):
            raise CommandError(_unknown(call, device))
        return spec.function(device.driver, **spec.bind(list(call.args), dict(call.kwargs)))


def _unknown(call: Call, device: OpenDevice | None) -> str:
    commands = device.commands if device is not None else {}
    if call.command in commands:
        return f"Device '{call.device}' has no command '{call.command}' for its panel."
    near = nearest(call.command, commands)
    hint = f" Did you mean {near}?" if near else ""
    return f"Device '{call.device}' has no command '{call.command}'.{hint} It has: {', '.join(commands) or 'none'}."
