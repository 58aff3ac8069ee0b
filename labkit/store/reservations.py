"""Reservations, claims of benches and conditions in the store. Used by devices, sessions and hosts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from labkit.store.connection import NO_TASK, Store, record, text
from labkit.store.processes import GONE_AFTER
from labkit.store.sessions import Refusal, refusals


class Condition(StrEnum):
    """What a device's host says of it."""

    OK = "ok"
    OFFLINE = "offline"
    FAULTY = "faulty"


class Blame(StrEnum):
    """Whose fault it seems to be that a device is not ok. `labkit/loop/blame.py` decides it."""

    NOBODY = ""
    USER = "user"
    DRIVER = "driver"
    DEVICE = "device"
    LAB = "lab"


class Duty(StrEnum):
    """What a lab's owner says of a bench. DRAINED: no new session gets it. MAINTENANCE: nor does its host open it."""

    IN_SERVICE = ""
    DRAINED = "drained"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A bench that its owner took out of service. since: UTC seconds since 1970."""

    duty: Duty
    since: float
    reason: str

    @property
    def text(self) -> str:
        """What the bench is, in words, with the reason."""
        what = "in maintenance" if self.duty is Duty.MAINTENANCE else "drained"
        return f"{what} ({self.reason})" if self.reason else what


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A bench that this process hosts from now on. holds: device's full name -> (state, fence).

    maintenance: why the bench is in maintenance, None where it is not. before: device's full name -> condition and
    reason as its last host left them.
    """

    fence: int
    holds: Mapping[str, tuple[str, int]]
    maintenance: str | None = None
    before: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BenchChange:
    """One line of a bench's log. device: '' where it is about the bench as a whole. at: UTC seconds since 1970."""

    at: float
    device: str
    before: str
    after: str
    reason: str
    blame: str


@dataclass(frozen=True, kw_only=True)
class DeviceView:
    """What anybody can see of a device. Times are UTC seconds since 1970; hold: none, reserved or releasing."""

    name: str
    hold: str
    since: float
    until: float
    session: str
    condition: str
    condition_since: float
    reason: str
    blame: str = ""

    @property
    def being_opened(self) -> bool:
        """Its host has just claimed the bench, and says soon how the device is."""
        return self.condition == Condition.OFFLINE and self.reason == "being opened"


@dataclass(frozen=True, kw_only=True)
class BenchView:
    """What anybody can see of a bench. host: the process that has it, '' where none beats. service: None in service."""

    name: str
    features: Sequence[str]
    host: str
    machine: str
    info: Mapping[str, Any]
    devices: Sequence[DeviceView]
    service: Service | None = None


class Reservations:
    """Reservations and benches in the store. Errors of every method: `StoreUnavailableError`."""

    def __init__(self, store: Store):
        self._store = store

    def take(
        self,
        session_id: str,
        owner: str,
        *,
        bench: str = "",
        features: Sequence[str] = (),
        excluded: Sequence[str] = (),
        by_task: tuple[str, str] = NO_TASK,
    ) -> tuple[str, int] | list[Refusal] | None:
        """Reserve one more bench for a session: (bench, fence), why none is free, or None: the session is over, or the
        task (id, process) that asks was given up."""
        left_out = " ".join(excluded)
        answer = self._store.run("reservation_take", session_id, owner, bench, " ".join(features), left_out, *by_task)
        word = text(answer[0])
        if word == "reserved":
            return text(answer[2]), int(answer[1])
        return refusals(answer[1]) if word == "refused" else None

    def release(self, session_id: str, bench: str, fence: int, by_task: tuple[str, str] = NO_TASK) -> list[str] | None:
        """Give back a bench ('': all) held under a fence. Returns the devices; None: it is held under another fence, or
        the task (id, process) that asks was given up."""
        answer = self._store.run("reservation_release", session_id, bench, fence, *by_task)
        return [text(device) for device in answer[1:]] if text(answer[0]) == "releasing" else None

    def left(self, session_id: str, bench: str = "") -> dict[str, bool]:
        """Devices that a session has not given back yet -> whether their host beats."""
        flat = record(self._store.run("reservation_left", session_id, bench))
        return {device: host == "beating" for device, host in flat.items()}

    def claim_bench(
        self,
        bench: str,
        process: str,
        machine: str,
        *,
        devices: Sequence[str],
        features: Sequence[str],
        info: Mapping[str, Any],
        silence: float,
    ) -> Claim | str:
        """Become the host of a bench. Returns the claim, or the name of the other machine that has it."""
        answer = self._store.run(
            "bench_claim", bench, process, machine, " ".join(devices), " ".join(features), json.dumps(info), silence
        )
        if text(answer[0]) == "held":
            return text(answer[1])
        rows = [text(item) for item in answer[3:]]
        holds = {rows[i]: (rows[i + 1], int(rows[i + 2])) for i in range(0, len(rows), 5)}
        before = {rows[i]: (rows[i + 3], rows[i + 4]) for i in range(0, len(rows), 5)}
        maintenance = None if answer[2] is None else text(answer[2])
        return Claim(fence=int(answer[1]), holds=holds, maintenance=maintenance, before=before)

    def leave_bench(self, bench: str, fence: int) -> None:
        """Give up a bench in order."""
        self._store.run("bench_leave", bench, fence, "")

    def leave_idle_bench(self, bench: str, fence: int) -> bool:
        """Give up a bench that nobody has; from then on no session gets it. False: a session has it, it stays."""
        return text(self._store.run("bench_leave", bench, fence, "idle")) != "held"

    def undeclared(self, machine: str, declared: Collection[str]) -> list[str]:
        """The benches of a machine that it declares no more."""
        return [view.name for view in self.benches() if view.machine == machine and view.name not in declared]

    def forget_bench(self, bench: str, machine: str) -> bool:
        """Forget a bench that its machine declares no more. False: it is hosted or held, also by one that hangs."""
        return text(self._store.run("bench_forget", bench, machine)) == "forgotten"

    def report(
        self,
        bench: str,
        claim: int,
        device: str,
        condition: Condition,
        reason: str,
        dealt_with: int,
        blame: Blame = Blame.NOBODY,
    ) -> bool:
        """Say what condition a device is in and why, and up to which fence (0: none) its release was dealt with.

        Returns False where another host has claimed the bench.
        """
        answer = self._store.run(
            "device_report", bench, claim, device, condition.value, reason, dealt_with or "", blame.value
        )
        return text(answer) == "ok"

    def set_duty(self, bench: str, duty: Duty, reason: str = "") -> Duty | None:
        """Take a bench out of service, or put it back. Returns what it was before; None: it was just that already.

        From here on no session gets a bench that is not in service; who has it keeps it.
        """
        answer = self._store.run("bench_service", bench, duty.value, " ".join(reason.split()))
        return Duty(text(answer[1])) if text(answer[0]) == "changed" else None

    def bench_log(self, bench: str, count: int) -> list[BenchChange]:
        """The newest changes of a bench and its devices, at most `count`, newest last."""
        rows = self._store.command("XREVRANGE", self._store.keys.of("bench_log", bench), "+", "-", "COUNT", count)
        return [_change({text(key): text(value) for key, value in fields.items()}) for _, fields in reversed(rows)]

    def bench_info(self, bench: str) -> dict[str, Any] | None:
        """What the host published of a bench; None: no host ever did."""
        found = self._store.command("HGET", self._store.keys["bench_info"], bench)
        return None if found is None else dict(json.loads(found))

    def benches(self) -> list[BenchView]:
        """All benches that were ever claimed, by name, with their devices, as of one moment. Reads fixed hashes."""
        hashes = (
            "bench_devices", "bench_features", "bench_host", "bench_info", "holds", "conditions", "bench_service"
        )  # fmt: skip
        keys = self._store.keys
        *found, time, beats = self._store.together(
            *(("HGETALL", keys[name]) for name in hashes),
            ("TIME",),
            ("ZRANGE", keys["processes"], "0", "-1", "WITHSCORES"),
        )
        devices, features, hosts, infos, holds, conditions, services = map(_texts, found)
        live = {name for name, beat in record(beats).items() if float(beat) >= float(text(time[0])) - GONE_AFTER}
        views = []
        for name in sorted(devices):
            host = hosts.get(name, "").split()
            full = [f"{name}/{device}" for device in devices[name].split()]
            views.append(
                BenchView(
                    name=name,
                    features=features.get(name, "").split(),
                    host=host[0] if host and host[0] in live else "",
                    machine=host[2] if host else "",
                    info=json.loads(infos.get(name, "{}")),
                    devices=[
                        _device_view(device, holds.get(device, ""), conditions.get(device, "")) for device in full
                    ],
                    service=_service(services.get(name, "")),
                )
            )
        return views

    def holders(self) -> dict[str, int]:
        """Sessions that hold a device -> the highest fence of their holds."""
        found: dict[str, int] = {}
        for hold in _texts(self._store.command("HGETALL", self._store.keys["holds"])).values():
            _, fence, session, *_ = hold.split()
            found[session] = max(found.get(session, 0), int(fence))
        return found


def _texts(found: Any) -> dict[str, str]:
    """A hash as the store gave it, as text; redis-py makes it a dict, or leaves it flat."""
    pairs = found.items() if isinstance(found, dict) else record(found).items()
    return {text(key): text(value) for key, value in pairs}


def _device_view(name: str, hold: str, condition: str) -> DeviceView:
    state, _, session, since, until = [*hold.split(), "", "", "", "", ""][:5]
    word, condition_since, blame, reason = ([*condition.split(" ", 3), "", "", "", ""])[:4]
    return DeviceView(
        name=name,
        hold=state or "none",
        session=session,
        since=float(since or 0),
        until=float(until or 0),
        condition=word or "offline",
        condition_since=float(condition_since or 0),
        reason=reason,
        blame="" if blame == "-" else blame,
    )


def _service(said: str) -> Service | None:
    if not said:
        return None
    word, since, reason = ([*said.split(" ", 2), ""])[:3]
    return Service(duty=Duty(word), since=float(since), reason=reason)


def _change(fields: Mapping[str, str]) -> BenchChange:
    return BenchChange(**{**fields, "at": float(fields["at"])})  # type: ignore[arg-type]
