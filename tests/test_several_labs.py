"""Several labs in one process: each with all of its background work, and none knows of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests.small_lab import SmallLab
from tests.toy import wait_until

MakeLab = Callable[..., SmallLab]
CountThreads = Callable[[str], int]


@pytest.fixture
def make_lab(tmp_path: Path, store_server: StoreServer) -> Iterator[MakeLab]:
    with ExitStack() as stack:

        def make(name: str, url: str = store_server.url, **options: object) -> SmallLab:
            folder = tmp_path / name
            folder.mkdir()
            lab = SmallLab(folder, url, devices=["toy"], WEBLAB_TASK_THREADS_PROCESS=1, **options)  # type: ignore[arg-type]

            @lab.weblab.task()
            def who() -> str:
                lab.weblab.devices["toy"].write(name)
                return name

            lab.view("/who", lambda: who.run_sync(timeout=30).result)

            @lab.weblab.on_dispose
            def dispose() -> None:
                lab.weblab.devices["toy"].write(f"{name} disposed")

            return stack.enter_context(lab)

        yield make


@pytest.fixture
def threads() -> CountThreads:
    """Counts the threads that this test has begun, by the beginning of their names."""
    before = set(threading.enumerate())
    return lambda word: sum(thread.name.startswith(word) for thread in set(threading.enumerate()) - before)


def test_labs_on_one_store_each_do_all_of_their_work(make_lab: MakeLab, threads: CountThreads) -> None:
    labs = {name: make_lab(name).up() for name in ("one", "two", "three")}
    assert (threads("beat"), threads("host"), threads("task-")) == (3, 3, 3)
    sessions = {name: lab.start(length=600) for name, lab in labs.items()}
    for name, lab in labs.items():
        assert lab.student(sessions[name]).get("/who").text == name
        assert [act for act in lab.world.acts if isinstance(act, str) and act in labs] == [name]
    assert labs["one"].status(sessions["two"]) == -1  # it knows nothing of the other's sessions
    assert labs["one"].dispose(sessions["one"])["message"] in ("Deleted", "Deleting")
    labs["one"].wait_state(sessions["one"], SessionState.EXPIRED)
    assert "one disposed" in labs["one"].world.acts
    assert labs["two"].state(sessions["two"]) is SessionState.ACTIVE
    assert labs["two"].student(sessions["two"]).get("/who").text == "two"


def test_lab_that_is_closed_leaves_the_others_at_work(make_lab: MakeLab, threads: CountThreads) -> None:
    one, two = make_lab("one").up(), make_lab("two").up()
    session = two.start(length=0.3)
    one.weblab.close()
    assert one.world.open_now == 0
    two.wait_state(session, SessionState.EXPIRED)  # two's reaper still works
    wait_until(lambda: threads("beat") == 1, "the end of one's beat")


def test_labs_with_embedded_stores_in_one_process(make_lab: MakeLab) -> None:
    labs = {name: make_lab(name, "").up() for name in ("one", "two")}
    assert labs["one"].lab.store.url != labs["two"].lab.store.url
    for name, lab in labs.items():
        assert lab.student(lab.start(length=600)).get("/who").text == name
