"""The model: what a lab's store should know, in plain Python. Every rule of the scripts is written once more, in the
simplest way; the machines compare it with what the real store has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GONE = 4.0
SILENCE = 30.0
START_TIMEOUT = 120.0
DEVICES = ("console", "leds")


TICK = 1 / 64
"""Every time of a machine is a multiple of this: exact in binary and with six digits, so the edges can be met."""


@dataclass
class Session:
    state: str
    owner: str
    start_until: float
    max_date: float
    timeout: float
    last_poll: float
    benches: dict[str, int]
    fence: int
    step: str = "reserved"
    exited: bool = False
    end_asked: str = ""
    reason: str = ""
    disposing: bool = False
    claim_until: float = 0.0
    data: dict[str, str] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)

    @property
    def deadline(self) -> float:
        return min(self.max_date, self.last_poll + self.timeout) if self.timeout > 0 else self.max_date

    def over(self, now: float) -> str:
        """Why an active session is over, '' if it isn't."""
        if self.exited:
            return "logout"
        if now < self.deadline:
            return ""
        return "inactivity" if self.deadline < self.max_date else "time"


@dataclass
class Hold:
    state: str
    fence: int
    session: str


@dataclass
class Bench:
    devices: tuple[str, ...]
    process: str
    claim: int
    machine: str
    seen: float
    used: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """The calls that wait in the list of its present claim."""


@dataclass
class Task:
    session: str
    purpose: str
    lock: str
    urgent: bool
    late: bool = False
    under: int = 0
    status: str = "submitted"
    owner: str = ""
    runner: str = ""
    code: str = ""
    result: str = ""
    stop: bool = False


@dataclass
class Facts:
    """All that the store should know at one moment. A store that goes back gets an earlier one back, too."""

    beats: dict[str, float] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    benches: dict[str, Bench] = field(default_factory=dict)
    service: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)
    urgent: list[str] = field(default_factory=list)
    sleeping: list[tuple[str, str]] = field(default_factory=list)
    handed: dict[str, list[str]] = field(default_factory=dict)
    unique: dict[str, str] = field(default_factory=dict)

    def alive(self, process: str, now: float) -> bool:
        beat = self.beats.get(process)
        return beat is not None and now - beat <= GONE and beat <= now + GONE

    # -- benches

    def refusal(self, name: str, session: str, now: float) -> str:
        """Why a bench can't be given out, '' if it can."""
        bench = self.benches[name]
        if name in self.service:
            return self.service[name]
        for device in bench.devices:
            hold = bench.holds.get(device)
            if hold is not None:
                return ("own-" if hold.session == session else "") + hold.state
        if not self.alive(bench.process, now):
            return "no-host"
        return next((bench.conditions[device] for device in bench.devices if bench.conditions[device] != "ok"), "")

    def pick(self, wish: str, excluded: tuple[str, ...], session: str, now: float) -> tuple[str, dict[str, str]]:
        """The free bench that was used least recently, '' none; and why the others were refused."""
        asked = [name for name in sorted(self.benches) if wish in ("", name) and name not in excluded]
        rows = {name: self.refusal(name, session, now) for name in asked}
        free = [name for name in asked if not rows[name]]
        best = min(free, key=lambda name: self.benches[name].used) if free else ""
        return best, {name: why for name, why in rows.items() if why}

    def reserve(self, name: str, session: str, fence: int) -> None:
        bench = self.benches[name]
        bench.used = fence
        for device in bench.devices:
            bench.holds[device] = Hold("reserved", fence, session)

    def reserved(self, session: str, name: str) -> dict[str, Hold]:
        """What a session has reserved of a bench."""
        bench = self.benches.get(name)
        holds = {} if bench is None else {device: bench.holds.get(device) for device in bench.devices}
        return {
            device: hold
            for device, hold in holds.items()
            if hold and (hold.session, hold.state) == (session, "reserved")
        }

    def move(self, session: str, names: list[str], state: str, fence: int) -> list[str]:
        """Give all that a session has reserved of these benches a new state and fence; returns the devices."""
        moved = []
        for name in names:
            for device, hold in self.reserved(session, name).items():
                hold.state, hold.fence = state, fence
                moved.append(f"{name}/{device}")
        return moved

    # -- tasks

    def may_start(self, task: Task, now: float) -> bool:
        session = self.sessions.get(task.session)
        if session is None:
            return False
        if task.purpose == "ending":
            return session.state == "ending" and session.step == "dispose" and session.fence == task.under
        live = session.state == "starting" or (session.state == "active" and not session.over(now))
        return task.late or live

    def unread(self, name: str) -> bool:
        """Was a task handed to a runner that has surely not read it?"""
        return name in self.handed.get(self.tasks[name].runner, [])

    def orphan(self, name: str, now: float) -> bool:
        task = self.tasks[name]
        return task.status == "running" and not self.alive(task.owner, now)

    def own(self, name: str, process: str, runner: str) -> None:
        task = self.tasks[name]
        task.status, task.owner, task.runner = "running", process, runner

    def hand_over(self, name: str, now: float) -> bool:
        """Give a task to the runner that fell asleep last in a live process; who sleeps in a dead one is forgotten."""
        while self.sleeping:
            runner, process = self.sleeping.pop()
            if self.alive(process, now):
                self.own(name, process, runner)
                self.handed.setdefault(runner, []).append(name)
                return True
        return False

    def give_back(self, name: str) -> None:
        task = self.tasks[name]
        self.read_by(task.runner, name)
        task.status, task.owner, task.runner = "submitted", "", ""
        (self.urgent if task.urgent else self.queue).insert(0, name)

    def read_by(self, runner: str, name: str) -> None:
        if name in self.handed.get(runner, []):
            self.handed[runner].remove(name)

    def end(self, name: str, status: str, code: str = "", result: str = "", runner: str = "") -> None:
        task = self.tasks[name]
        task.status, task.code, task.result, task.runner = status, code, result, runner
        if self.unique.get(task.lock) == name:
            del self.unique[task.lock]
        for waiting in (self.queue, self.urgent):
            if name in waiting:
                waiting.remove(name)

    def settle(self, name: str, now: float) -> None:
        """Whoever finds a running task whose owner is gone sees to it."""
        if not self.orphan(name, now):
            return
        if self.unread(name):
            self.give_back(name)
        else:
            self.end(name, "failed", "lost")

    def holder(self, lock: str, now: float) -> str:
        """Which task rightly holds a unique lock, '' none."""
        name = self.unique.get(lock, "")
        task = self.tasks.get(name)
        if task is None:
            return ""
        if task.status == "submitted":
            return name if self.may_start(task, now) else ""
        lost = self.orphan(name, now) and not self.unread(name)
        return "" if lost else name
