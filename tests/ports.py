"""Free ports of the loopback, for what has to be told its port before it listens. Used by any test."""

from __future__ import annotations

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """So many TCP ports that nobody listens on, each another one."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def chosen_port() -> int:
    """One of them."""
    return free_ports(1)[0]
