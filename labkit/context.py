"""Which session the running code belongs to: a request, a start, an ending, a task. Used by users, devices, tasks.

A context variable, so each thread and each request has its own; nothing here talks to the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from enum import StrEnum

from labkit.clock import Deadline
from labkit.errors import NoContextError


class Purpose(StrEnum):
    """As what code acts for a session."""

    REQUEST = "request"
    START = "start"
    TASK = "task"
    ENDING = "ending"


@dataclass(kw_only=True)
class BoundSession:
    """The session that the running code belongs to, and the fences under which it may use its benches."""

    session_id: str
    purpose: Purpose
    fences: dict[str, int] = field(default_factory=dict)
    """Bench -> fence of this session's reservation (in `on_dispose` of the ending's claim), in order."""
    owner: str = ""
    """The process that owns the start or the ending; empty otherwise."""
    task_id: str = ""
    limit: Deadline = field(default_factory=lambda: Deadline(None), compare=False)
    """When a task that runs here is given up; none of its device calls may begin after that."""

    @property
    def by_task(self) -> tuple[str, str]:
        """The task that runs here and its process; ('', '') outside a task."""
        return (self.task_id, self.owner) if self.task_id else ("", "")


_bound: ContextVar[BoundSession | None] = ContextVar("labkit_bound_session", default=None)


def bound_session() -> BoundSession | None:
    """The session bound here, or None."""
    return _bound.get()


def require_session() -> BoundSession:
    """The session bound here. Errors: `NoContextError`, with what to do."""
    bound = _bound.get()
    if bound is None:
        raise NoContextError(
            "This needs a session, and none is bound here. Use it in a view guarded by @requires_active, in on_start, "
            "on_dispose, or a task; a thread of your own should be a task: @weblab.task()."
        )
    return bound


def bind(bound: BoundSession | None) -> Token[BoundSession | None]:
    """Bind a session from here on; `unbind` takes it back. For what begins and ends in different functions."""
    return _bound.set(bound)


def unbind(token: Token[BoundSession | None]) -> None:
    """Undo a `bind`. Errors: ValueError in another context than that of the `bind`."""
    _bound.reset(token)


@contextlib.contextmanager
def session_bound(bound: BoundSession | None) -> Iterator[BoundSession | None]:
    """Bind a session (None: none) to the code inside the block."""
    token = bind(bound)
    try:
        yield bound
    finally:
        unbind(token)
