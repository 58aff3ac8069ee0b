"""Free ports of the loopback, for what has to be told its port before it listens. Used by any test."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
import socket
from collections.abc import Iterator

LOWEST, HIGHEST = 20_000, 32_767
"""The kernel gives ports out from 32768 on, to whoever asks for any: none of those would still be free in a moment."""


def free_ports(count: int) -> list[int]:
    """So many TCP ports that nobody listens on, each another one, and none that another worker of this run is given."""
    return list(itertools.islice(filter(_is_free, _own_ports()), count))


def chosen_port() -> int:
    """One of them."""
    return free_ports(1)[0]


@functools.cache
def _own_ports() -> Iterator[int]:
    """Those of this worker in turn, so that none is given out again soon; it begins anywhere, for other runs."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(LOWEST + worker, HIGHEST + 1, workers)
    first = secrets.randbelow(len(ports))
    return itertools.cycle([*ports[first:], *ports[:first]])


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
