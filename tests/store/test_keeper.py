"""The keeper, with real processes and signals: how it runs the server, why it ends it, and that nothing is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit.errors import StoreUnavailableError
from labkit.store import keeper
from tests.conftest import OrdinaryUser
from tests.store.embedded_lab import LIMIT, EmbeddedLab, is_alive, wait_until

CONNECT_AS_ORDINARY_USER = """
import socket
become_ordinary()
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(error)
"""


def opened_by(process: int) -> set[str]:
    """What a process has open. A server opens and closes a file ten times a second, to see how large it is."""
    found = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(entry))
    return found


def test_nothing_is_left_after_the_last_process_was_killed(lab: EmbeddedLab) -> None:
    first, second = lab.start(), lab.start()
    first.answer()
    second.answer()
    first.kill()
    second.kill()
    wait_until(lab.is_gone)


def test_nothing_is_left_after_close_and_closing_twice_is_fine(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    store.close()
    store.close()
    wait_until(lab.is_gone)
    with pytest.raises(StoreUnavailableError, match="is closed"):
        store.ensure()


def test_server_dies_with_its_keeper(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    server = lab.server()
    os.kill(lab.keeper(), signal.SIGKILL)
    wait_until(lambda: not is_alive(server))
    wait_until(lambda: not store._keeper_lives())  # all its threads are gone: close() tidies up after it


def test_close_removes_what_a_killed_keeper_left(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    os.kill(lab.keeper(), signal.SIGKILL)
    wait_until(lambda: not store._keeper_lives())
    assert list(lab.runtime.iterdir())
    store.close()
    assert list(lab.runtime.iterdir()) == []


def test_nobody_needs_the_store_again_after_its_server_was_killed_and_nothing_is_left(lab: EmbeddedLab) -> None:
    lab.store().open()
    os.kill(lab.server(), signal.SIGKILL)
    wait_until(lab.is_gone)


def test_a_keeper_that_is_told_to_end_leaves_the_store_to_the_next(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    lab.client().set("kept", "yes")
    os.kill(lab.keeper(), signal.SIGTERM)
    wait_until(lab.is_gone)
    store.ensure()
    assert lab.client().get("kept") == "yes"


def test_a_process_that_is_killed_while_it_starts_the_store_leaves_nothing(lab: EmbeddedLab) -> None:
    for moment in range(12):
        starting = lab.start()
        time.sleep(0.04 + moment * 0.01)
        starting.kill()
    wait_until(lab.is_gone)
    lab.store().open()
    assert lab.client().ping()


def test_the_keeper_has_a_session_of_its_own_and_nothing_of_who_started_it(lab: EmbeddedLab) -> None:
    first = lab.start()
    first.answer()
    lab.store().open()
    for process in (lab.keeper(), lab.server()):
        assert os.getsid(process) == lab.keeper()
        assert opened_by(process).isdisjoint(os.readlink(f"/proc/{first.process.pid}/fd/{number}") for number in (0, 1))
    first.kill()  # reads to the end of its output


def test_the_keeper_sleeps_while_nothing_happens(lab: EmbeddedLab) -> None:
    lab.store().open()
    status = Path(f"/proc/{lab.keeper()}/status")

    def times_woken() -> str:
        return next(line for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt_switches"))

    def slept_for_half_a_second() -> bool:
        before = times_woken()
        time.sleep(0.5)
        return times_woken() == before

    wait_until(slept_for_half_a_second)


def test_the_server_listens_on_no_tcp_port(lab: EmbeddedLab) -> None:
    lab.store().open()
    server = lab.server()
    own = opened_by(server)
    lines = [
        line for name in ("tcp", "tcp6") for line in Path(f"/proc/{server}/net/{name}").read_text().splitlines()[1:]
    ]
    assert own.isdisjoint(f"socket:[{line.split()[9]}]" for line in lines)
    assert lab.client().config_get("port") == {"port": "0"}


def test_every_write_goes_to_the_append_only_file(lab: EmbeddedLab) -> None:
    lab.store().open()
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
    assert lab.client().config_get(*wanted) == wanted


def test_data_and_socket_are_only_for_their_owner(lab: EmbeddedLab, ordinary_user: OrdinaryUser) -> None:
    store = lab.store()
    address = store.open().removeprefix("unix://")
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert os.stat(address).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(address)).st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        os.chmod(lab.runtime, 0o755)
        assert "Permission denied" in ordinary_user.run(CONNECT_AS_ORDINARY_USER, address)


def test_an_append_only_file_that_a_crash_cut_is_read_up_to_there(lab: EmbeddedLab) -> None:
    with lab.store():
        lab.client().set("first", "1")
        lab.client().set("last", "2")
    wait_until(lab.is_gone)
    (written,) = (lab.instance / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(written, written.stat().st_size - 3)
    with lab.store():
        assert lab.client().mget("first", "last") == ["1", None]


def test_the_server_ends_when_its_data_folder_is_removed_and_ensure_starts_with_a_new_one(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    server = lab.server()
    shutil.rmtree(lab.instance)
    wait_until(lambda: not is_alive(server))
    store.ensure()
    assert lab.client().dbsize() == 0


def test_when_the_runtime_folder_is_removed_ensure_starts_the_store_in_another(
    lab: EmbeddedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = lab.runtime / "user"
    gone.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(gone))
    store = lab.store()
    store.open()
    lab.client().set("kept", "yes")
    shutil.rmtree(gone, ignore_errors=True)  # the keeper tidies up there too, as soon as its socket has gone
    assert not gone.exists()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.runtime))
    store.ensure()
    assert str(gone) not in store.url
    assert lab.client().get("kept") == "yes"


def test_a_server_that_does_not_end_is_killed_after_the_last_process(lab: EmbeddedLab) -> None:
    store = lab.store()
    store.open()
    os.kill(lab.server(), signal.SIGSTOP)
    store.close()
    wait_until(lab.is_gone)


def test_the_keeper_imports_only_the_standard_library() -> None:
    code = (
        f"import sys; sys.argv = ['']; __file__ = {keeper.__file__!r}; exec(open(__file__).read(), {{'__name__': 'k'}})"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=LIMIT)
