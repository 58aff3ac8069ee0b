"""Device calls in the store: submit, take, reply, watch. Used by proxies on one side and hosts on the other.

A call is run at most once: it lies in the list of one claim of one host, is taken out by that host alone, and the
host checks its fence and deadline again where the hardware is.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoScriptError

from labkit import wire
from labkit.store.connection import Store, text
from labkit.store.lines import Line
from labkit.store.pool import command

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
    """A call that lies with a host. claim: the fence of that host's claim.

    waiting: the line on which its reply was asked for together with it, for `seconds`; None: it was not.
    """

    payload: str
    claim: str
    waiting: Line | None = field(default=None, compare=False)
    seconds: float = 0.0


class Calls:
    """Device calls in the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def submit(self, call: Call, seconds: float = 0.0) -> Submitted | list[str]:
        """Hand a call to its host. Returns what was submitted, or the words of the refusal.

        seconds: ask for the reply in the same breath, and for so long; `first_reply` is to wait for it.
        """
        payload = call.dump()
        arguments = (call.bench, call.device, call.fence, payload, call.task, call.process)
        if seconds <= 0:
            return _submitted(self._store.run("call_submit", *arguments, ""), payload)
        line = self._store.line()
        try:
            wait = command(["BLPOP", self._store.keys.of("reply", call.id), max(0.01, seconds)])
            line.send(self._store.packed_script("call_submit", *arguments, call.id) + wait)
            answer = _submitted(self._ran(line, *arguments, call.id), payload, line, seconds)
            if isinstance(answer, list):
                line.read()  # the script has left an answer for it
                line.give_back()
        except BaseException:
            line.close()
            raise
        return answer

    def _ran(self, line: Line, *arguments: str | int) -> Any:
        try:
            return line.read()
        except NoScriptError:
            return self._store.run("call_submit", *arguments)

    def first_reply(self, submitted: Submitted) -> Reply | None:
        """Wait for the reply that was asked for when the call was submitted; once."""
        line = submitted.waiting
        if line is None or line.over:
            return None
        try:
            found = line.read(submitted.seconds)
        except BaseException:
            line.close()
            raise
        line.give_back()
        return None if found is None else Reply(**wire.loads(found[1]))

    def wait(self, call: Call, seconds: float) -> Reply | None:
        """Wait at most `seconds` for the reply."""
        found = self._store.pop([self._store.keys.of("reply", call.id)], seconds)
        return None if found is None else Reply(**wire.loads(found[1]))

    def watch(self, call: Call, submitted: Submitted, *, withdraw: bool = False) -> tuple[bool, bool]:
        """Is the host that got the call still there, and was the call taken back (so that it surely never runs)?"""
        answer = self._store.run("call_watch", call.bench, submitted.claim, submitted.payload, "1" if withdraw else "")
        return text(answer[0]) == "beating", bool(int(answer[1]))

    def inbox(self, wake: str) -> Inbox:
        """Where a host finds the calls on its benches; `wake_host` with the same word brings its wait back."""
        return Inbox(self._store, wake)

    def task_runs(self, call: Call) -> bool:
        """Whether the task that calls still runs in its process; True where none does."""
        if not call.task:
            return True
        owner = self._store.command("HGET", self._store.keys["running"], call.task)
        return owner is not None and text(owner) == call.process

    def wake_host(self, wake: str) -> None:
        """Bring the wait of an inbox back."""
        self._leave(self._store.keys.of("calls", wake), "", 60)

    def reply(self, call: Call, reply: Reply, keep: float = 60.0) -> None:
        """Answer a call; the answer is kept for `keep` seconds, and has this end from birth."""
        self._leave(self._store.keys.of("reply", call.id), wire.dumps(dict(vars(reply))), int(keep))

    def _leave(self, key: str, value: str, keep: int) -> None:
        """Leave something for who waits for it. As one with its end: who dies in between would leave it for ever."""
        line = self._store.line()
        try:
            line.send(_MULTI + command(["RPUSH", key, value]) + command(["EXPIRE", key, keep]) + _EXEC)
            for _ in range(4):
                line.read()
        except BaseException:
            line.close()
            raise
        line.give_back()


_MULTI, _EXEC = command(["MULTI"]), command(["EXEC"])


class Inbox:
    """The calls on the benches of one host, for one thread. Each is taken out of the store by one host alone.

    `ask` and `take` name the claims: bench -> its fence. Errors: `StoreUnavailableError`; the next `take` asks anew.
    """

    def __init__(self, store: Store, wake: str):
        self._store = store
        self._wake = wake
        self._line: Line | None = None
        self._asked = 0.0
        self._prepared: tuple[Mapping[str, int], float, bytes] = ({}, 0.0, b"")

    @property
    def asked(self) -> bool:
        """Was the next call asked for? Then `take` has to fetch it: it may have left the store."""
        return self._asked > 0

    def ask(self, claims: Mapping[str, int], seconds: float) -> None:
        """Ask for the next call, for at most `seconds`, without waiting for it."""
        if self._line is None:
            self._line = self._store.line()
        if self._prepared[:2] != (claims, seconds):
            keys = [self._store.keys.of("calls", f"{bench}@{fence}") for bench, fence in claims.items()]
            packed = command(["BLPOP", *keys, self._store.keys.of("calls", self._wake), max(0.01, seconds)])
            self._prepared = dict(claims), seconds, packed
        try:
            self._line.send(self._prepared[2])
        except BaseException:
            self.close()
            raise
        self._asked = seconds

    def take(self, claims: Mapping[str, int], seconds: float) -> bytes | None:
        """Wait for a call, as it was sent, at most `seconds` (or as long as `ask` said); None: none, or woken up."""
        if not self.asked:
            self.ask(claims, seconds)
        line, waited, self._asked = self._line, self._asked, 0.0
        try:
            found = line.read(waited) if line is not None else None
        except BaseException:
            self.close()
            raise
        return found[1] if found and found[1] else None

    def close(self) -> None:
        """End the conversation. Twice is fine."""
        line, self._line, self._asked = self._line, None, 0.0
        if line is not None:
            line.close()


def _submitted(answer: Any, payload: str, waiting: Line | None = None, seconds: float = 0.0) -> Submitted | list[str]:
    words = [text(part) for part in answer]
    if words[0] != "submitted":
        return words
    return Submitted(payload=payload, claim=words[2], waiting=waiting, seconds=seconds)
