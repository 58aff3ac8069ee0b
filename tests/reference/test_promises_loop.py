"""`weblab.loop()` in a real process, and what another process of the lab knows of a session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit import weblab_user
from labkit.store.connection import Store
from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests import prepared
from tests.prepared import Prepared
from tests.reference.acting_lab import ActingLab
from tests.reference.loop_program import register
from tests.reference.promises import keeps
from tests.toy import GUARD, wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = "tests.reference.loop_program"


class LoopLab(ActingLab):
    """The lab as this process has it, without threads; `run` starts a process that is its loop."""

    def __init__(self, folder: Path, server: StoreServer, prefix: str):
        super().__init__(folder, server.url, WEBLAB_NO_THREAD=True, WEBLAB_REDIS_BASE=prefix)
        self.folder = folder
        self.environment = {"LOOP_FOLDER": str(folder), "LOOP_STORE": server.url, "LOOP_PREFIX": prefix}
        self.processes: list[Prepared] = []
        register(self.weblab, folder)
        self.write_part("old")

    def write_part(self, word: str) -> None:
        """Write the part of the program's source that may change."""
        (self.folder / "part.py").write_text(f"WORD = {word!r}\n")

    def run(self, module: str, *arguments: str, **environment: str) -> Prepared:
        """Start `python -m module ...` and wait until it runs tasks."""
        kept = {name: value for name, value in os.environ.items() if name != "FLASK_DEBUG"}
        with (self.folder / "out").open("wb") as out:
            process = prepared.start(
                module, arguments, folder=ROOT, out=out.fileno(), err=out.fileno(),
                environment={**kept, "PYTHONPATH": str(ROOT), **self.environment, **environment},
            )  # fmt: skip
        self.processes.append(process)

        def runs() -> bool:
            assert process.poll() is None, self.said()
            return bool(self.lab.processes.with_role("tasks"))

        wait_until(runs, "the loop", 2 * GUARD)  # one that reloads is two processes, one after the other
        return process

    def said(self) -> str:
        path = self.folder / "out"
        return path.read_text() if path.exists() else ""

    def submit(self, name: str, *arguments: Any) -> Any:
        """Submit a task of a new session."""
        return self.inside(self.start(), lambda: self.lab.tasks.functions[name].delay(*arguments))

    def end(self, process: Prepared) -> int:
        """Ask a process to end; its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(GUARD)

    def has_left(self) -> bool:
        """Has the loop that ended said good-bye to the store, so that nobody counts on it? It gives that a second, and
        says so where the machine had none for it."""
        return not self.lab.processes.with_role("tasks") or "could not say good-bye" in self.said()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(GUARD)
            finally:
                process.kill()
        self.weblab.close()


@pytest.fixture
def lab(tmp_path: Path, store_server: StoreServer, store: Store) -> Iterator[LoopLab]:
    lab = LoopLab(tmp_path, store_server, store.keys.prefix)
    yield lab
    lab.close()
    print(lab.said())


@keeps("WebLab.loop", "runs tasks, as many at once as it has threads", "ends expired users")
@keeps("WebLab.loop", "FLASK_DEBUG decides where reload is not given")
@keeps("CurrentUser.data", "is kept from one process to another")
def test_loop_runs_tasks_and_ends_users_in_another_process(lab: LoopLab) -> None:
    process = lab.run(PROGRAM, "2", "null")
    lab.write_part("not to be loaded")
    tasks = [lab.submit("wait_for", "go") for _ in range(3)]
    for task in tasks[:2]:
        wait_until(lambda task=task: task.retrieve().running, "two tasks at once")  # type: ignore[misc]
    session_id = lab.start(length=0.05)
    lab.wait_state(session_id, SessionState.EXPIRED)
    assert tasks[2].retrieve().submitted  # by now the loop had the time to begin it, but no thread
    (lab.folder / "go").touch()
    assert [task.join(GUARD).result for task in tasks] == [True] * 3

    def act() -> Any:
        weblab_user.data["count"] = 6
        weblab_user.data.store()
        return lab.lab.tasks.functions["count_on"].run_sync()

    session_id = lab.start()
    assert lab.inside(session_id, act).result == process.pid
    assert lab.inside(session_id, lambda: weblab_user.data) == {"count": 7}
    assert word_of(lab)() == "old"


@keeps("WebLab.loop", "goes on until it is ended, and ends in order")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_loop_ends_in_order_at_a_signal(lab: LoopLab, number: int) -> None:
    process = lab.run(PROGRAM, "1", "false")
    process.send_signal(number)
    assert process.wait(GUARD) == 0
    assert lab.said().endswith("loop has come back\n")
    assert lab.has_left()


@keeps("WebLab.run_tasks", "command loop does it too")
def test_command_loop_runs_tasks(lab: LoopLab) -> None:
    process = lab.run("flask", "--app", PROGRAM, "weblab", "loop", "--threads", "1", "--no-reload")
    assert lab.submit("part").join(GUARD).result == "old"
    assert lab.end(process) == 0


@keeps("WebLab.loop", "reload loads the source anew where it has changed")
@keeps("WebLab.loop", "FLASK_DEBUG decides where reload is not given")
@pytest.mark.parametrize(("reload", "environment"), [("true", {}), ("null", {"FLASK_DEBUG": "1"})])
def test_loop_loads_changed_source_anew(lab: LoopLab, reload: str, environment: dict[str, str]) -> None:
    process = lab.run(PROGRAM, "1", reload, **environment)
    said = word_of(lab)
    assert said() == "old"
    lab.write_part("renewed")
    wait_until(lambda: said() == "renewed", "the new source", 2 * GUARD)
    assert lab.end(process) == 0
    assert lab.has_left()


def word_of(lab: LoopLab) -> Callable[[], Any]:
    """Asks the loop what its source says; None where it was just about to begin anew."""
    return lambda: lab.submit("part").join(GUARD, error_on_timeout=False).result
