"""A lab on a node of a cluster, which refuses whatever goes over more than one slot: all keys of a lab are in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.harness import ROOMY, ROOMY_ANSWER, FlowLab
from tests.flows.people import eventually
from tests.flows.test_frames import CameraLab, looking
from tests.store.fleet import ClusterNode

CONSOLE = "bench-1/console"


@pytest.fixture
def node() -> Iterator[ClusterNode]:
    with ClusterNode() as node:
        yield node


def test_a_whole_session_runs_on_a_node_of_a_cluster(tmp_path: Path, free_port: int, node: ClusterNode) -> None:
    lab = FlowLab(tmp_path, node, free_port, safe_seconds=ROOMY_ANSWER, settings=ROOMY)  # type: ignore[arg-type] # the URL
    try:
        CameraLab(lab)
        lab.start("services")
        student = lab.rlms.must_start("ada", length=600, client={"write": "# begin\r", "run_sync": True}).enter()
        with student.socket() as page:
            page.subscribe(CONSOLE)
            assert page.write(CONSOLE, b"led 1 on\r")["ok"]
            eventually(lambda: b"led 1 is on" in page.bytes(), what="a feed of bytes, and a call of the page")
            with looking(student) as picture:
                picture.wait()  # a frame, by a channel
            assert student.ask("POST", "/report")[1] == {"status": "done", "result": "ada"}
            assert student.ask("POST", "/write", b"# by a view\r")[0] == 200
            assert lab.rlms.status(student.session_id) > 0
            eventually(lambda: lab.rlms.dispose(student.session_id)["message"] == "Deleted")
            eventually(lambda: page.sessions[-1]["state"] in ("ending", "expired"), what="the page is told")
        assert {act["hook"]: act["status"] for act in lab.acts("run_sync")} == {
            "on_start": "done",
            "on_dispose": "done",
        }
        lab.wait_free()
        assert lab.rlms.status(student.session_id) == -1
        assert "bench-1" in lab.labkit("devices")
        keys = node.server.client.keys("*")
        assert {key.partition("}")[0] for key in keys} == {"{lab"}
    finally:
        lab.close()
        print(lab.logs())
