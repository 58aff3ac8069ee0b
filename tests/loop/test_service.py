"""`labkit loop` as a real process: SIGHUP, a terminal that is closed, `--reload`, what an idle one tells its store."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.store.reservations import Reservations
from labkit.store.sessions import EndReason, NewSession, Sessions
from labkit.testing.store import StoreServer
from tests import prepared
from tests.prepared import ROOT, Prepared
from tests.toy import wait_until

LOOP = ("loop", "--threads", "1")
LAB = """\
import sys
from flask import Flask
from labkit import WebLab
app = Flask("servicelab", root_path=".", instance_path={instance!r})
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="x", WEBLAB_REDIS_URL={url!r},
                  WEBLAB_REDIS_BASE={base!r}, LABKIT_SIMULATE=True)
weblab = WebLab(app)
"""
BROKEN = """
def broken(*_):
    raise ZeroDivisionError("nobody foresaw this")
"""
BROKEN_LAB = BROKEN + "weblab.lab.__class__.read_declarations_again = broken\n"
BROKEN_LOOP = BROKEN + "import labkit.loop.service\nlabkit.loop.service._read_again = broken\n"
BENCH = '[bench]\ntitle = "{title}"\n\n[console]\ndriver = "serial"\nport = "/dev/serial/by-id/{port}"\n'


class Service:
    """A lab in a folder, whose loops are processes; the test looks at it through the store."""

    def __init__(self, folder: Path, server: StoreServer, store: Store):
        self.folder = folder
        self.store = store
        self.reservations = Reservations(store)
        self.processes = Processes(store)
        self.sessions = Sessions(store)
        self.log = folder / "loop.log"
        self._children: list[Prepared | subprocess.Popen[bytes]] = []
        (folder / "devices").mkdir()
        self.source = LAB.format(instance=str(folder / "instance"), url=server.url, base=store.keys.prefix)
        (folder / "lab.py").write_text(self.source)

    def declare(self, bench: str, title: str = "a bench", port: str = "a") -> None:
        (self.folder / "devices" / f"{bench}.toml").write_text(BENCH.format(title=title, port=port))

    def loop(self, *arguments: str) -> Prepared:
        """Start `labkit loop`, its log in the lab's folder."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self.log, "ab") as log:
            child = prepared.start(
                "labkit.cli", [*LOOP, *arguments], folder=self.folder, environment=environment,
                out=log.fileno(), err=log.fileno(),
            )  # fmt: skip
        self._children.append(child)
        return child

    def loop_at(self, terminal: int, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `labkit loop` at a terminal."""
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "labkit.cli", *LOOP, *arguments], cwd=self.folder, stdin=terminal,
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._children.append(child)
        return child

    def title(self, bench: str) -> str:
        info = self.reservations.bench_info(bench)
        return str(info["title"]) if info is not None else ""

    def is_free(self, bench: str) -> bool:
        views = [view for view in self.reservations.benches() if view.name == bench and view.host]
        return any(all(d.hold == "none" and d.condition == "ok" for d in view.devices) for view in views)

    def wait_free(self, bench: str) -> None:
        wait_until(lambda: self.is_free(bench), f"{bench} to be free")

    def logged(self, word: str) -> int:
        return self.log.read_text().count(word) if self.log.exists() else 0

    def wait_logged(self, word: str, times: int = 1) -> None:
        wait_until(lambda: self.logged(word) >= times, f"'{word}' in the log")

    def close(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(20)
            child.kill()
            child.wait(10)
        print(self.log.read_text() if self.log.exists() else "no log")


@pytest.fixture
def service(tmp_path: Path, store_server: StoreServer, store: Store) -> Iterator[Service]:
    service = Service(tmp_path, store_server, store)
    try:
        yield service
    finally:
        service.close()


def start_session(service: Service) -> str:
    """An active session. It is nobody's any more, so the process that started it need not go on beating."""
    service.processes.beat("web:1:aa", first=True, roles="", highest_fence=0, benches={})
    new = NewSession(
        session_id="a-session", user={}, slot_start=None, slot_length=600, timeout=0, start_timeout=60, bench=""
    )
    assert not isinstance(service.sessions.start(new, "web:1:aa"), list)
    assert service.sessions.activate(new.session_id, "web:1:aa") == "active"
    return new.session_id


def end(child: Prepared, number: int = signal.SIGTERM) -> int:
    child.send_signal(number)
    return child.wait(30)


# -- SIGHUP


def test_hangup_opens_idle_benches_as_they_are_declared_by_now(service: Service) -> None:
    service.declare("bench-1", "old")
    service.declare("bench-2", "stays", port="b")
    loop = service.loop()
    service.wait_free("bench-1")
    service.wait_free("bench-2")
    before = {view.name: view.host for view in service.reservations.benches()}
    service.declare("bench-1", "new")
    service.declare("bench-3", "added", port="c")
    loop.send_signal(signal.SIGHUP)
    wait_until(lambda: service.title("bench-1") == "new", "the new title")
    service.wait_free("bench-1")
    service.wait_free("bench-3")
    assert {view.name: view.host for view in service.reservations.benches()} == {**before, "bench-3": before["bench-1"]}
    assert service.logged("bench given up bench=bench-1") == 1
    assert service.logged("bench given up bench=bench-2") == 0
    assert end(loop) == 0


def test_hangup_leaves_a_bench_to_the_session_that_has_it(service: Service) -> None:
    service.declare("bench-1", "old")
    loop = service.loop()
    service.wait_free("bench-1")
    wait_until(lambda: service.processes.with_role("endings"), "the reaper")
    session = start_session(service)
    service.declare("bench-1", "new")
    service.declare("bench-2", "added", port="b")
    loop.send_signal(signal.SIGHUP)
    service.wait_free("bench-2")  # what is new comes after what is there already was looked at
    assert (service.title("bench-1"), service.logged("bench given up")) == ("old", 0)
    service.sessions.end(session, EndReason.ADMIN)
    wait_until(lambda: service.title("bench-1") == "new", "the new title")
    service.wait_free("bench-1")


def test_hangup_forgets_a_bench_that_is_declared_no_more(service: Service) -> None:
    service.declare("bench-1")
    service.declare("bench-2", port="b")
    loop = service.loop()
    service.wait_free("bench-2")
    (service.folder / "devices" / "bench-2.toml").unlink()
    loop.send_signal(signal.SIGHUP)
    wait_until(lambda: [view.name for view in service.reservations.benches()] == ["bench-1"], "only bench-1")


def test_hangup_forgets_a_bench_that_was_in_use_when_it_is_free(service: Service) -> None:
    service.declare("bench-1")
    loop = service.loop()
    service.wait_free("bench-1")
    wait_until(lambda: service.processes.with_role("endings"), "the reaper")
    session = start_session(service)
    (service.folder / "devices" / "bench-1.toml").unlink()
    loop.send_signal(signal.SIGHUP)
    service.wait_logged("declarations read again")
    assert [view.name for view in service.reservations.benches()] == ["bench-1"]
    service.sessions.end(session, EndReason.ADMIN)
    wait_until(lambda: service.reservations.benches() == [], "no bench")


def test_hangup_with_a_mistake_names_it_and_changes_nothing(service: Service) -> None:
    service.declare("bench-1", "old")
    loop = service.loop()
    service.wait_free("bench-1")
    service.declare("bench-1", "new")
    (service.folder / "devices" / "bench-2.toml").write_text('[console]\ndriver = "serial"\nboudrate = 9600\n')
    loop.send_signal(signal.SIGHUP)
    service.wait_logged("declarations not taken")
    assert service.logged("[console] boudrate: unknown key. Did you mean baudrate?") == 1
    assert service.is_free("bench-1")
    assert service.title("bench-1") == "old"
    assert end(loop, signal.SIGINT) == 0


def test_hangup_that_fails_as_nobody_foresaw_changes_nothing(service: Service) -> None:
    service.declare("bench-1", "old")
    (service.folder / "lab.py").write_text(service.source + BROKEN_LAB)
    loop = service.loop()
    service.wait_free("bench-1")
    loop.send_signal(signal.SIGHUP)
    service.wait_logged("declarations not taken")
    assert service.logged("ZeroDivisionError: nobody foresaw this") == 1
    assert service.is_free("bench-1")
    assert end(loop) == 0


def test_loop_that_fails_as_nobody_foresaw_makes_its_devices_safe(service: Service) -> None:
    service.declare("bench-1")
    (service.folder / "lab.py").write_text(service.source + BROKEN_LOOP)
    loop = service.loop()
    service.wait_free("bench-1")
    loop.send_signal(signal.SIGHUP)
    assert loop.wait(30) == 1
    assert service.logged("ZeroDivisionError: nobody foresaw this") == 1
    assert service.logged("bench given up bench=bench-1 reason=its host stops") == 1


def test_loop_ends_in_order_when_its_terminal_is_closed(service: Service) -> None:
    service.declare("bench-1")
    terminal, its_end = pty.openpty()
    loop = service.loop_at(its_end)
    os.close(its_end)
    service.wait_free("bench-1")
    os.close(terminal)
    loop.send_signal(signal.SIGHUP)  # what the kernel sends to the processes of a terminal
    assert loop.wait(30) == 0
    assert service.logged("bench given up bench=bench-1 reason=its host stops") == 1


# -- reload


def test_loop_begins_anew_when_a_file_changes(service: Service) -> None:
    service.declare("bench-1", "old")
    loop = service.loop("--reload")
    service.wait_free("bench-1")
    service.wait_logged("loop reloads when files change")
    first = service.processes.with_role("host")
    changed_until(service, lambda: service.declare("bench-1", "new"), lambda: service.title("bench-1") == "new")
    service.wait_free("bench-1")
    assert service.processes.with_role("host") != first
    assert service.logged("bench given up bench=bench-1 reason=its host stops") >= 1
    assert end(loop) == 0
    assert not service.processes.with_role("host")


def test_loop_goes_on_as_it_was_where_a_file_is_no_python_yet(service: Service) -> None:
    service.declare("bench-1")
    loop = service.loop("--reload")
    service.wait_free("bench-1")
    service.wait_logged("loop reloads when files change")
    changed_until(
        service,
        lambda: (service.folder / "lab.py").write_text(service.source + "def broken(:\n"),
        lambda: service.logged("loop goes on as it was"),
    )
    assert service.is_free("bench-1")
    assert service.logged("loop begins anew") == 0
    assert end(loop) == 0


def test_loop_that_cannot_start_waits_for_the_next_change(service: Service) -> None:
    service.declare("bench-1")
    (service.folder / "lab.py").write_text(service.source + "raise RuntimeError('not today')\n")
    loop = service.loop("--reload")
    assert loop.wait(30) == 2  # not even this process can load it
    (service.folder / "lab.py").write_text(service.source)
    loop = service.loop("--reload")
    service.wait_free("bench-1")
    service.wait_logged("loop reloads when files change")
    changed_until(
        service,
        lambda: (service.folder / "lab.py").write_text(service.source + "raise RuntimeError('not today')\n"),
        lambda: service.logged("loop ended by itself"),
    )
    changed_until(
        service, lambda: (service.folder / "lab.py").write_text(service.source), lambda: service.is_free("bench-1")
    )
    assert end(loop) == 0


def test_loop_that_reloads_ends_when_its_terminal_is_closed(service: Service) -> None:
    service.declare("bench-1")
    terminal, its_end = pty.openpty()
    loop = service.loop_at(its_end, "--reload")
    os.close(its_end)
    service.wait_free("bench-1")
    os.close(terminal)
    loop.send_signal(signal.SIGHUP)
    assert loop.wait(30) == 0
    assert not service.processes.with_role("host")


def test_folder_whose_name_ends_like_a_file_of_python_hurts_nobody(service: Service) -> None:
    service.declare("bench-1", "old")
    loop = service.loop("--reload")
    service.wait_free("bench-1")
    service.wait_logged("loop reloads when files change")
    (service.folder / "odd.py").mkdir()
    changed_until(service, lambda: service.declare("bench-1", "new"), lambda: service.title("bench-1") == "new")
    assert end(loop) == 0


def test_loop_that_reloads_leaves_nobody_behind_when_it_is_killed(service: Service) -> None:
    service.declare("bench-1")
    loop = service.loop("--reload")
    service.wait_free("bench-1")
    loop.kill()
    loop.wait(30)
    service.wait_logged("bench given up bench=bench-1 reason=its host stops")  # it gives up its role before that
    wait_until(lambda: not service.processes.with_role("host"), "the end of the child")
    assert service.logged("bench given up bench=bench-1 reason=its host stops") == 1


def changed_until(service: Service, change: Callable[[], object], seen: Callable[[], object]) -> None:
    """Change a file, again where nobody noticed it: the watching may begin a moment after the loop says so."""

    def noticed() -> int:
        return service.logged("loop begins anew") + service.logged("loop goes on as it was")

    before = noticed()
    for _ in range(10):
        change()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: noticed() > before, "the change to be noticed", seconds=3.0)
            break
    wait_until(seen, "what the change brings")


# -- idle


def test_idle_loop_sends_its_beats_and_nothing_else(tmp_path: Path) -> None:
    seen, seconds = Counter[str](), 5.0
    with StoreServer() as server, contextlib.closing(Store(server.url, "idle")) as store:
        service = Service(tmp_path, server, store)
        try:
            service.declare("bench-1")
            service.loop()
            service.wait_free("bench-1")
            with redis.Redis.from_url(server.url) as watcher:
                wait_until(lambda: blocked(watcher) == 3, "runner, calls and changes to wait")
                with watcher.monitor() as monitor:
                    until = time.monotonic() + seconds
                    while time.monotonic() < until:
                        command = monitor.next_command()
                        if command["client_type"] != "lua":
                            seen[command["command"].split()[0]] += 1
        finally:
            service.close()
    seen.pop("CLIENT", None)  # a connection introduces itself, where two of the process's first commands met
    again = seen.pop("BLPOP", 0)
    assert again <= 1  # a runner's first sleep is a short one: it asks again, and then sleeps for minutes
    assert set(seen) == {"EVALSHA"}
    assert seen["EVALSHA"] <= seconds + 2 + again


def blocked(watcher: redis.Redis) -> int:
    """How many clients sit in a blocking read."""
    return int(watcher.info("clients")["blocked_clients"])  # type: ignore[index]
