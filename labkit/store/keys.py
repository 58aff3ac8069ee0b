"""Every key of a lab in the store, made in one place. Used by `store/` only.

All keys begin with `{prefix}:`; the braces make them one slot, so a node of a cluster serves a lab. Benches, devices,
processes and locks are fields of fixed hashes. Every script gets the same list, `Keys.all`, as its KEYS; its first line
gives names to those that it uses, and a key for one session, task or call is its family's key plus an id, made only
there.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

# (name in Lua and here, what it holds). The order is that of the scripts' KEYS.
FAMILIES: Sequence[tuple[str, str]] = (
    ("lab", "hash: the app's name here, the highest fence, when the last beat came and a page last began to look"),
    ("deadlines", "sorted set: session id, scored by the time at which somebody must look at it"),
    ("processes", "sorted set: process id, scored by its last beat"),
    ("roles", "hash: process id -> what it does: 'host tasks endings'"),
    ("changes", "stream, capped: wakes hosts and reapers; says only that there is news"),
    ("bench_devices", "hash: bench -> its devices' names, separated by spaces, in the order of the declaration"),
    ("bench_features", "hash: bench -> its features, separated by spaces"),
    ("bench_host", "hash: bench -> 'process fence machine beat' of the host that claimed it; beat: its last one"),
    ("bench_used", "hash: bench -> fence of its last reservation, for fairness"),
    ("bench_info", "hash: bench -> JSON that its host published for web and tasks"),
    ("holds", "hash: bench/device -> 'state fence session since until'; absent: none"),
    ("conditions", "hash: bench/device -> 'condition since blame reason...'; blame '-': nobody's"),
    ("unique", "hash: unique lock -> task id"),
    ("queue", "list: ids of submitted tasks"),
    (
        "urgent",
        "list: ids of submitted tasks that are claimed first: a start, an ending or a task waits for them",
    ),
    ("sleeping", "list: 'runner process' of each task runner that sleeps; the last one is handed the next task"),
    ("running", "hash: task id -> process that runs it"),
    ("session", "family: session id -> hash, the session's record"),
    ("data", "family: session id -> hash, the session's data, a field for each top-level key"),
    ("events", "family: session id -> stream: what the session shows to its page, and what its waiters wait for"),
    ("session_tasks", "family: session id -> list of task ids, in the order of submission"),
    ("task", "family: task id -> hash, the task's record"),
    ("task_done", "family: task id -> stream that gets one entry when the task has ended"),
    ("feed", "family: session id/bench/device/feed -> stream of what the device gave in this session"),
    (
        "calls",
        "family: bench@fence of its host's claim -> list of calls; a host taken for dead reads none of its successor's",
    ),
    ("reply", "family: call id -> list with the one reply"),
    (
        "runner_wake",
        "family: pool of task runners -> list: tokens that wake its sleeping runners, for other reasons than a task",
    ),
    ("handed", "family: task runner -> list: the task that it was handed while it slept, until it has read it"),
    ("relay_wake", "family: relay -> stream, capped: wakes the relay of one web process"),
    ("bench_service", "hash: bench -> 'drained since reason...' or 'maintenance since reason...'; absent: in service"),
    (
        "bench_log",
        "family: bench -> stream, capped: every change of its service and of its devices' conditions, with the cause",
    ),
    ("frames", "family: session id/bench/device/feed -> channel: the frames that a device gives in this session"),
    ("frames_wake", "family: watch on frames -> channel: wakes the one web process that has it"),
)


class Keys:
    """The keys of one lab. `keys.holds` is a key; `keys.of("session", id)` is one of a family."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.all = [f"{{{prefix}}}:{name}" for name, _ in FAMILIES]
        self._by_name = dict(zip((name for name, _ in FAMILIES), self.all, strict=True))

    def __getitem__(self, name: str) -> str:
        return self._by_name[name]

    def of(self, family: str, identifier: str) -> str:
        """The key of one member of a family."""
        return f"{self._by_name[family]}:{identifier}"


def lua_names(words: Container[str] | None = None) -> str:
    """The Lua line that gives a script its keys by name; words: all that it has, for it needs no other names."""
    numbered = enumerate((name for name, _ in FAMILIES), start=1)
    fields = ", ".join(f"{name} = KEYS[{index}]" for index, name in numbered if words is None or name in words)
    return f"local K = {{ {fields} }}"
