"""A store with a replica and a Sentinel: its master dies or hangs while the replica lags, and the lab goes on alone.

What the replica never got is gone. No fence is given out twice for that, and no device is held by two.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from labkit.store.reservations import BenchView
from labkit.store.sessions import SessionRecord
from tests.flows.harness import ROOMY, ROOMY_ANSWER, FlowLab
from tests.flows.people import Student, eventually
from tests.store.fleet import Fleet


class FleetLab(FlowLab):
    """A lab of real processes whose store is a fleet."""

    def __init__(self, folder: Path, fleet: Fleet, port: int, **settings: object):
        super().__init__(folder, fleet, port, safe_seconds=ROOMY_ANSWER, settings=settings)  # type: ignore[arg-type] # of a store it wants the URL
        self.fleet = fleet

    def record(self, session_id: str) -> SessionRecord | None:
        """A session as the store has it now; None: it does not answer."""
        with contextlib.suppress(ConnectionError):
            return self.sessions.touch(session_id, poll=False)
        return None

    def wait_record(self, session_id: str, state: str) -> SessionRecord:
        def found() -> SessionRecord | None:
            record = self.record(session_id)
            return record if record is not None and record.state == state else None

        record = eventually(found, 60, f"session {state}")
        assert isinstance(record, SessionRecord)
        return record

    def benches(self) -> list[BenchView]:
        """Where the store does not answer none: who looks looks again."""
        with contextlib.suppress(ConnectionError):
            return super().benches()
        return []

    def fence_of(self, student: Student) -> int:
        return int(eventually(lambda: self.record(student.session_id)).fences["bench-1"])

    def end_session(self, student: Student) -> None:
        eventually(lambda: self.rlms.dispose(student.session_id)["message"] == "Deleted")
        self.wait_free()


@contextlib.contextmanager
def fleet_lab(folder: Path, port: int, *, sentinel: bool = True, **settings: object) -> Iterator[FleetLab]:
    with Fleet(sentinel=sentinel) as fleet:
        lab = FleetLab(folder, fleet, port, **{**ROOMY, **settings})
        try:
            yield lab
        finally:
            lab.close()
            print(lab.logs(), fleet.logs())


def test_a_lagging_replica_takes_over_and_what_it_never_got_ends_as_lost(tmp_path: Path, free_port: int) -> None:
    with fleet_lab(tmp_path, free_port) as lab:
        lab.start("services")
        first = lab.rlms.must_start("first", length=600)
        fences = [lab.fence_of(first)]
        eventually(lab.fleet.replica_has_all)
        lab.fleet.wire.hold()  # from here on it lags
        lab.end_session(first)
        second = lab.rlms.must_start("second", length=600, client={"write": "# second\r"}).enter()
        fences.append(lab.fence_of(second))
        lab.boards[0].wait_received(b"# second\r")
        lab.fleet.master.end()
        lab.fleet.wait_for_promotion()
        assert lab.wait_record(first.session_id, "expired").reason == "lost"  # it had ended, and was shown again
        assert lab.wait_record(second.session_id, "unknown")
        assert second.ask("POST", "/write", b"# late\r")[0] in (302, 403)
        lab.wait_free()
        third = lab.rlms.must_start("third", client={"write": "# third\r"})
        fences.append(lab.fence_of(third))
        assert fences == sorted(set(fences))
        received = lab.boards[0].wait_received(b"# third\r")
        assert b"late" not in received
        assert b"halt\r" in received[received.index(b"# second") : received.index(b"# third")]
        lab.end_session(third)


def test_a_master_that_hangs_is_left_with_all_connections_and_the_session_goes_on(
    tmp_path: Path, free_port: int
) -> None:
    """Nothing breaks a connection to a process that is only stopped; who waits in a long read would wait on."""
    with fleet_lab(tmp_path, free_port, LABKIT_SAFE_AFTER=30) as lab:
        lab.start("services")
        student = lab.rlms.must_start("ada", length=600, client={"write": "# before\r"}).enter()
        eventually(lab.fleet.replica_has_all)
        lab.fleet.master.send(signal.SIGSTOP)
        try:
            lab.fleet.wait_for_promotion()
            eventually(lambda: student.ask("POST", "/write", b"# after\r")[0] == 200, 60, "a call by the new master")
            status, answer, _ = student.ask("POST", "/report")  # a task: its runner has slept in a long read
            assert (status, answer) == (200, {"status": "done", "result": "ada"})
        finally:
            lab.fleet.master.send(signal.SIGCONT)
        assert student.ask("POST", "/write", b"# later\r")[0] == 200
        lab.boards[0].wait_received(b"# later\r")
        assert lab.rlms.status(student.session_id) > 0
        lab.end_session(student)


def test_no_session_starts_that_a_replica_has_not_and_endings_go_on(tmp_path: Path, free_port: int) -> None:
    with fleet_lab(tmp_path, free_port, sentinel=False, LABKIT_STORE_REPLICAS=1) as lab:
        lab.start("services")
        student = lab.rlms.must_start("ada")
        with lab.fleet.copies_held():
            lab.end_session(student)
            status, answer = lab.rlms.start("bob")
            assert status == 503
            assert answer["error"] is True
            assert "LABKIT_STORE_REPLICAS" in answer["message"]
            lab.wait_free()  # it is undone
            assert lab.acts("on_start done")[-1]["user"] == "ada"
        eventually(lambda: lab.rlms.start("cleo")[0] == 200, what="a start when the replica is back")
