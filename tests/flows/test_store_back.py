"""The store goes back a moment: its file was cut, or a lagging replica promoted. No fence is given out twice."""

from __future__ import annotations

import signal
from collections.abc import Callable

from labkit.store.connection import Store
from labkit.store.processes import Processes
from labkit.testing.store import StoreServer
from tests.flows.harness import FlowLab
from tests.flows.people import eventually
from tests.frozen import freeze, thaw
from tests.ports import chosen_port


def fence_of(lab: FlowLab, session_id: str) -> int:
    return lab.sessions.touch(session_id, poll=False).fences["bench-1"]


def test_a_store_whose_file_was_cut_gives_no_fence_out_twice(make_lab: Callable[..., FlowLab]) -> None:
    lab = make_lab(append_only=True)
    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    lab.start("services")
    first = lab.rlms.must_start("first")
    first_fence = fence_of(lab, first.session_id)
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")
    lab.wait_free()
    log = max((lab.store_server.folder / "appendonlydir").glob("*.incr.aof"))
    size = log.stat().st_size
    second = lab.rlms.must_start("second", client={"write": "# second\r"}).enter()
    second_fence = fence_of(lab, second.session_id)
    lab.boards[0].wait_received(b"# second\r")
    lab.store_server.stop(signal.SIGKILL)
    with open(log, "r+b") as file:
        file.truncate(size)
    lab.store_server.start()
    lab.wait_free()
    assert lab.sessions.touch(second.session_id, poll=False).state == "unknown"
    assert second.ask("POST", "/write", b"# late\r")[0] in (302, 403)
    third = lab.rlms.must_start("third", client={"write": "# third\r"})
    third_fence = fence_of(lab, third.session_id)
    assert first_fence < second_fence < third_fence
    received = lab.boards[0].wait_received(b"# third\r")
    assert b"late" not in received
    assert b"halt\r" in received[received.index(b"# second") : received.index(b"# third")]


def test_a_session_that_a_store_shows_again_after_it_went_back_ends_as_lost(make_lab: Callable[..., FlowLab]) -> None:
    """It had ended, and somebody else may have been in since; the store has only forgotten."""
    lab = make_lab(append_only=True)
    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    lab.start("services")
    first = lab.rlms.must_start("first", length=600)
    log = max((lab.store_server.folder / "appendonlydir").glob("*.incr.aof"))
    size = log.stat().st_size
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")
    lab.wait_free()
    second = lab.rlms.must_start("second", length=600)
    highest = fence_of(lab, second.session_id)
    lab.store_server.stop(signal.SIGKILL)
    with open(log, "r+b") as file:
        file.truncate(size)
    lab.store_server.start()
    lab.wait_state(first.session_id, "expired")
    assert lab.sessions.touch(first.session_id, poll=False).reason == "lost"
    lab.wait_free()
    assert fence_of(lab, lab.rlms.must_start("third").session_id) > highest


def test_a_session_is_shown_again_and_ends_though_somebody_was_given_a_new_fence_meanwhile(
    make_lab: Callable[..., FlowLab],
) -> None:
    """The store's counter is ahead of the host's by then, so only the device's own fence says that it went back."""
    lab = make_lab(append_only=True)
    lab.store.command("CONFIG", "SET", "appendfsync", "always")
    loop = lab.loop()
    lab.web()
    lab.wait_free()
    first = lab.rlms.must_start("first", length=600)
    log = max((lab.store_server.folder / "appendonlydir").glob("*.incr.aof"))
    size = log.stat().st_size
    eventually(lambda: lab.rlms.dispose(first.session_id)["message"] == "Deleted")
    lab.wait_free()
    freeze(loop.pid)
    try:
        lab.store_server.stop(signal.SIGKILL)
        with open(log, "r+b") as file:
            file.truncate(size)
        lab.store_server.start()
        claim(lab.store)
    finally:
        thaw(loop.pid)
    lab.wait_state(first.session_id, "expired")
    assert lab.sessions.touch(first.session_id, poll=False).reason == "lost"


def test_a_lagging_replica_that_is_promoted_gives_no_fence_out_twice() -> None:
    with StoreServer() as primary, StoreServer() as replica:
        main, copy = Store(primary.url, "lab"), Store(replica.url, "lab")
        main.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        try:
            copy.command("REPLICAOF", "127.0.0.1", listen_by_tcp(main))
            Processes(main).beat("before", first=True, roles="", highest_fence=0, benches={})
            before = claim(main)
            eventually(lambda: copy.command("HGET", copy.keys["lab"], "fence") == str(before).encode())
            copy.command("REPLICAOF", "NO", "ONE")  # from here on it lags
            lost = [claim(main) for _ in range(20)]
            primary.stop(signal.SIGKILL)
            after = [claim(copy) for _ in range(20)]
            assert len({before, *lost, *after}) == 41
            assert min(after) > max(lost)
            news = Processes(copy).beat("host", first=True, roles="", highest_fence=max(after) + 10**9, benches={})
            assert news is not None
            assert news.went_back
            assert claim(copy) > max(after) + 10**9
        finally:
            main.close()
            copy.close()


def claim(store: Store) -> int:
    """Be given a new fence, as the host of a bench that no lab here declares."""
    return int(store.run("bench_claim", "bench-0", "process", "machine", "console", "", "{}", 30)[1])


def listen_by_tcp(store: Store) -> int:
    """Have the server listen on a free port of the loopback, too, which a replica needs; returns the port."""
    port = chosen_port()
    store.command("CONFIG", "SET", "bind", "127.0.0.1")
    store.command("CONFIG", "SET", "port", port)
    return port
