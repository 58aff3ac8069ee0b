"""Device calls in the store: submit, take, reply, watch. Used by proxies on one side and hosts on the other.

A call is run at most once: it lies in the list of one claim of one host, is taken out by that host alone, and the
host checks its fence and deadline again where the hardware is.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit import wire
from labkit.store.connection import Store, text

READY = "$ready"
"""The call that makes a device ready for a new session; no driver can have a command of this name."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One use of a command. until: the store's time, UTC seconds, after which it must not begin."""

    device: str
    """Full name, `bench/device`."""
    command: str
    fence: int
    until: float
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    panel: bool = False
    """It comes from a browser: only commands marked for the panel."""
    task: str = ""
    """The task that calls, '' none, and its process."""
    process: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(12))

    @property
    def bench(self) -> str:
        return self.device.partition("/")[0]

    def dump(self) -> str:
        """Errors: `NotStorableError`, naming the argument."""
        return wire.dumps(
            [
                self.id,
                self.device,
                self.command,
                str(self.fence),
                self.until,
                list(self.args),
                dict(self.kwargs),
                self.panel,
                self.task,
                self.process,
            ]
        )

    @classmethod
    def load(cls, payload: bytes) -> Call:
        identifier, device, command, fence, until, args, kwargs, panel, task, process = wire.loads(payload)
        return cls(
            id=identifier,
            device=device,
            command=command,
            fence=int(fence),
            until=until,
            args=args,
            kwargs=kwargs,
            panel=panel,
            task=task,
            process=process,
        )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How a call ended. error: the class name of what was raised, '' for none; kind: the driver's own class.

    blame: whose fault that seems to be, '' nobody's.
    """

    value: Any = None
    error: str = ""
    message: str = ""
    kind: str = ""
    blame: str = ""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A call that lies with a host. claim: the fence of that host's claim."""

    payload: str
    claim: str


class Calls:
    """Device calls in the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def submit(self, call: Call) -> Submitted | list[str]:
        """Hand a call to its host. Returns what was submitted, or the words of the refusal."""
        payload, by = call.dump(), (call.task, call.process)
        answer = [
            text(part) for part in self._store.run("call_submit", call.bench, call.device, call.fence, payload, *by)
        ]
        return Submitted(payload=payload, claim=answer[2]) if answer[0] == "submitted" else answer

    def wait(self, call: Call, seconds: float) -> Reply | None:
        """Wait at most `seconds` for the reply."""
        found = self._store.pop([self._store.keys.of("reply", call.id)], seconds)
        return None if found is None else Reply(**wire.loads(found[1]))

    def watch(self, call: Call, submitted: Submitted, *, withdraw: bool = False) -> tuple[bool, bool]:
        """Is the host that got the call still there, and was the call taken back (so that it surely never runs)?"""
        answer = self._store.run("call_watch", call.bench, submitted.claim, submitted.payload, "1" if withdraw else "")
        return text(answer[0]) == "beating", bool(int(answer[1]))

    def take(self, claims: Mapping[str, int], wake: str, seconds: float) -> Call | None:
        """A host waits at most `seconds` for a call on its benches (bench -> fence of its claim), or a `wake_host`."""
        keys = [self._store.keys.of("calls", f"{bench}@{fence}") for bench, fence in claims.items()]
        found = self._store.pop([*keys, self._store.keys.of("calls", wake)], seconds)
        return None if found is None or not found[1] else Call.load(found[1])

    def task_runs(self, call: Call) -> bool:
        """Whether the task that calls still runs in its process; True where none does."""
        if not call.task:
            return True
        owner = self._store.command("HGET", self._store.keys["running"], call.task)
        return owner is not None and text(owner) == call.process

    def wake_host(self, wake: str) -> None:
        """Bring a waiting `take` back."""
        key = self._store.keys.of("calls", wake)
        self._store.command("RPUSH", key, "")
        self._store.command("EXPIRE", key, 60)

    def reply(self, call: Call, reply: Reply, keep: float = 60.0) -> None:
        """Answer a call; the answer is kept for `keep` seconds."""
        packed = wire.dumps(dict(vars(reply)))
        self._store.run("call_reply", call.id, packed, int(keep))
