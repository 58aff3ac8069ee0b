"""A lab as its scripts see it, at a time that the test sets: processes, benches, sessions; all on a real store."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from labkit.store.calls import Call, Calls
from labkit.store.connection import Store
from labkit.store.processes import BeatNews, Processes
from labkit.store.reservations import BenchView, Blame, Claim, Condition, DeviceView, Reservations
from labkit.store.sessions import EndReason, NewSession, Refusal, SessionRecord, Sessions, SessionState, Started

START = 1_800_000_000.0
WEB, LOOP, OTHER = "web:1:aa", "loop:2:bb", "other:3:cc"


class Table:
    """Everything goes through the same methods as in a lab; only the time is the test's."""

    def __init__(self, store: Store):
        self.store = store
        store.now = START
        self.sessions = Sessions(store)
        self.reservations = Reservations(store)
        self.processes = Processes(store)
        self.calls = Calls(store)
        self.claims: dict[str, int] = {}

    @property
    def now(self) -> float:
        assert self.store.now is not None
        return self.store.now

    def wait(self, seconds: float, *beating: str) -> None:
        """Let time pass; these processes beat all the while."""
        self.store.now = self.now + seconds
        for process in beating:
            self.beat(process)

    def beat(self, process: str = LOOP, *, fence: int = 0, benches: dict[str, int] | None = None) -> BeatNews:
        news = self.processes.beat(process, first=True, roles="", highest_fence=fence, benches=benches or {})
        assert news is not None
        return news

    # -- benches

    def host(
        self,
        *benches: str,
        process: str = LOOP,
        devices: Sequence[str] = ("console",),
        features: Sequence[str] = (),
        ok: bool = True,
    ) -> None:
        """Have a process host benches, their devices ok."""
        self.beat(process)
        for bench in benches:
            claim = self.claim(bench, process, devices=devices, features=features)
            assert isinstance(claim, Claim), claim
            self.claims[bench] = claim.fence
            if ok:
                for device in devices:
                    self.report(f"{bench}/{device}")

    def claim(
        self,
        bench: str,
        process: str,
        *,
        machine: str = "pi-1",
        devices: Sequence[str] = ("console",),
        features: Sequence[str] = (),
    ) -> Claim | str:
        return self.reservations.claim_bench(
            bench, process, machine, devices=devices, features=features, info={"title": bench}, silence=30.0
        )

    def report(
        self,
        device: str,
        condition: Condition = Condition.OK,
        reason: str = "",
        *,
        dealt_with: int = 0,
        blame: Blame = Blame.NOBODY,
    ) -> bool:
        bench = device.partition("/")[0]
        return self.reservations.report(bench, self.claims[bench], device, condition, reason, dealt_with, blame)

    def view(self, bench: str) -> BenchView:
        return next(view for view in self.reservations.benches() if view.name == bench)

    def device(self, name: str) -> DeviceView:
        bench = name.partition("/")[0]
        return next(device for device in self.view(bench).devices if device.name == name)

    def hold(self, device: str) -> tuple[str, int]:
        """A device's hold as it stands: (state, fence)."""
        raw = self.store.command("HGET", self.store.keys["holds"], device)
        return ("none", 0) if raw is None else (raw.split()[0].decode(), int(raw.split()[1]))

    # -- sessions

    def try_start(
        self,
        bench: str = "",
        *,
        owner: str = WEB,
        length: float = 600.0,
        timeout: float = 0.0,
        slot_start: float | None = None,
        features: Sequence[str] = (),
        name: str = "",
    ) -> tuple[str, Started | list[Refusal]]:
        session_id = name or secrets.token_hex(6)
        new = NewSession(
            session_id=session_id,
            user={"username": "ada"},
            slot_start=slot_start,
            slot_length=length,
            timeout=timeout,
            start_timeout=120.0,
            bench=bench,
            features=features,
        )
        return session_id, self.sessions.start(new, owner)

    def starting(self, bench: str = "", **options: object) -> str:
        """A session that is starting, owned by WEB, which beats."""
        self.beat(WEB)
        session_id, started = self.try_start(bench, **options)  # type: ignore[arg-type]
        assert isinstance(started, Started), started
        return session_id

    def active(self, bench: str = "", **options: object) -> str:
        session_id = self.starting(bench, **options)
        assert self.sessions.activate(session_id, WEB) == "active"
        return session_id

    def ending(self, bench: str = "", **options: object) -> str:
        session_id = self.active(bench, **options)
        assert self.end(session_id) == "begun"
        return session_id

    def end(self, session_id: str, reason: EndReason | None = EndReason.DISPOSED) -> str:
        return self.sessions.end(session_id, reason)[0]

    def claim_ending(self, session_id: str, process: str = LOOP) -> int:
        """Claim an ending; returns its fence."""
        claimed = self.sessions.claim_ending(session_id, process, 60.0)
        assert isinstance(claimed, SessionRecord), claimed
        return int(claimed.fields["fence"])

    def read(self, session_id: str) -> SessionRecord:
        return self.sessions.touch(session_id, poll=False)

    def state(self, session_id: str) -> SessionState:
        return self.read(session_id).state

    def fence(self, session_id: str, bench: str = "bench-1") -> int:
        return self.read(session_id).fences[bench]

    def deadline(self, session_id: str) -> float | None:
        """When somebody must look at the session; None: never."""
        score = self.store.command("ZSCORE", self.store.keys["deadlines"], session_id)
        return None if score is None else float(score)

    def events(self, session_id: str) -> list[dict[str, str]]:
        key = self.store.keys.of("events", session_id)
        rows = self.store.stream_after(key, "0-0", 1000)
        return [{name: value.decode() for name, value in fields.items() if name != "at"} for _, fields in rows]

    # -- calls

    def call(self, fence: int, device: str = "bench-1/console", **options: str) -> object:
        """Submit a call: 'submitted', or the first word of the refusal."""
        answer = self.calls.submit(Call(device=device, command="write", fence=fence, until=self.now + 5, **options))
        return answer[0] if isinstance(answer, list) else "submitted"
