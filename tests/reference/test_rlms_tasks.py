"""What labs rely on of tasks: what of rlms.md is not proven beside them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from labkit import current_task
from labkit.store.sessions import SessionState
from labkit.tasks import WebLabTask
from labkit.testing.store import StoreServer
from tests.reference.rlms_lab import make_lab as make_lab
from tests.reference.rlms_lab import still_lab as still_lab
from tests.reference.rlms_table import proves
from tests.small_lab import SmallLab


def submitting(lab: SmallLab, work: Any) -> list[WebLabTask]:
    """Make `work` a task that a view at / submits. Returns what was submitted."""
    submitted: list[WebLabTask] = []
    function = lab.weblab.task()(work)

    def submit() -> str:
        submitted.append(function.delay())
        return submitted[-1].task_id

    lab.view("/", submit)
    return submitted


@proves("an unknown task is none, also outside of any context")
def test_unknown_task_is_none_anywhere(still: SmallLab) -> None:
    asked = ("work", "x" * 43, "x")
    seen: list[Any] = []
    still.view("/", lambda: (seen.extend(still.weblab.get_task(name) for name in asked), "ok")[1])
    seen += [still.weblab.get_task(name) for name in asked]
    thread = threading.Thread(target=lambda: seen.extend(still.weblab.get_task(name) for name in asked))
    thread.start()
    thread.join(30)
    still.client().get("/")
    still.student(still.start()).get("/")
    assert seen == [None] * 12


@proves("store refreshes the task")
def test_store_refreshes_what_a_task_knows_of_itself(still: SmallLab) -> None:
    seen: list[Any] = []

    def work() -> None:
        task = current_task._get_current_object()
        task.data["half"] = True
        submitted[0].stop()
        stored = task.store()
        seen.extend([stored is task, stored.stopping, dict(submitted[0].retrieve().data)])

    submitted = submitting(still, work)
    still.student(still.start()).get("/")
    still.weblab.run_tasks()
    assert seen == [True, True, {"half": True}]


@proves("a task is readable as long as its expired user, then it has no status")
def test_task_lives_as_long_as_its_expired_user(still: SmallLab) -> None:
    submitted = submitting(still, lambda: "done")
    session = still.start()
    still.student(session).get("/")
    still.weblab.run_tasks()
    still.lab.sessions.exit(session)
    still.weblab.clean_expired_users()
    (task,) = submitted
    store = still.lab.store
    record, own = store.keys.of("session", session), store.keys.of("task", task.task_id)
    assert (still.state(session), task.retrieve().status, task.result) == (SessionState.EXPIRED, "done", "done")
    assert store.command("TTL", own) >= store.command("TTL", record) - 1 > 0
    for key in (own, record):
        store.command("PEXPIRE", key, 1)
    until = time.monotonic() + 30
    while task.retrieve().status is not None or still.state(session) is not SessionState.UNKNOWN:
        assert time.monotonic() < until
    assert (still.state(session), task.result, task.error) == (SessionState.UNKNOWN, None, None)


ENDLESS = """
import sys
import threading
import time
from pathlib import Path
from tests.small_lab import SmallLab

lab = SmallLab(Path(sys.argv[1]), sys.argv[2])
begun = threading.Event()


@lab.weblab.task()
def work():
    begun.set()
    while True:
        time.sleep(0.1)


lab.view("/", lambda: work.delay().task_id)
lab.up().student(lab.start()).get("/")
assert begun.wait(60)
if sys.argv[3] == "close":
    lab.weblab.close()
print(time.time(), flush=True)
"""


@proves("a process with an endless task can exit")
@pytest.mark.parametrize("how", ["close", "nothing"])
def test_process_with_an_endless_task_exits(tmp_path: Path, store_server: StoreServer, how: str) -> None:
    """The limit is far above the five seconds: it is there for a process that would never exit."""
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(tmp_path), store_server.url, how], cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.returncode, len(done.stdout.split())) == (0, 1), done.stderr
    print(f"it took {time.time() - float(done.stdout):.1f} s")
