"""Ways in which a store that is there refuses to write, and how it is made well again. For tests of what a lab does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

REFUSALS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "a replica": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "closed": (("ACL", "SETUSER", "default", "-@write", "-@scripting"), ("ACL", "SETUSER", "default", "+@all")),
}
"""A way -> what spoils the store, and what mends it."""


@contextlib.contextmanager
def refusing(way: str, tell: Callable[..., object]) -> Iterator[None]:
    """In this block the store refuses to write. tell: has the server carry out a command."""
    spoil, mend = REFUSALS[way]
    tell(*spoil)
    try:
        yield
    finally:
        tell(*mend)
