"""Each way in which a session can end, one after another on one bench, so that each is followed by the next student."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.harness import LAYOUTS, FlowLab, flow_lab
from tests.flows.passed_time import bring_end_near, bring_silence_near
from tests.flows.people import Http, Student, eventually
from tests.flows.visit import Visit, dispose, visit
from tests.ports import chosen_port

DELETING = {"message": "Deleting", "finished": False, "ask_again": 2, "should_finish": 2}
PATIENT: dict[str, Any] = {"LABKIT_DISPOSE_TIMEOUT": 60}
HASTY: dict[str, Any] = {"LABKIT_DISPOSE_TIMEOUT": 2}


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def patient_lab(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowLab]:
    with started_lab(layout, tmp_path_factory.mktemp("lab"), PATIENT) as lab:
        yield lab


@pytest.fixture(scope="module")
def hasty_lab(layout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowLab]:
    with started_lab(layout, tmp_path_factory.mktemp("lab"), HASTY) as lab:
        yield lab


@contextlib.contextmanager
def started_lab(layout: str, folder: Path, settings: dict[str, Any]) -> Iterator[FlowLab]:
    with flow_lab(folder, chosen_port(), settings=settings) as lab:
        yield lab.start(layout)


@pytest.fixture
def lab(patient_lab: FlowLab) -> Iterator[FlowLab]:
    """A lab without haste, with its one bench free; what it logged is shown with a test that failed."""
    yield from free(patient_lab)


@pytest.fixture
def short_lab(hasty_lab: FlowLab) -> Iterator[FlowLab]:
    """A lab that gives on_dispose little time."""
    yield from free(hasty_lab)


def free(lab: FlowLab) -> Iterator[FlowLab]:
    for device in lab.benches()[0].devices:
        if device.hold != "none":  # by a test that failed
            lab.rlms.dispose(device.session)
    lab.wait_free()
    yield lab
    print(lab.logs())


def test_time(lab: FlowLab) -> None:
    with visit(lab, "ada", length=500) as ada:
        assert lab.rlms.status(ada.session_id) > 0
        record = lab.sessions.touch(ada.session_id, poll=False)
        assert record.number("max_date") == pytest.approx(record.number("start_date") + 500, abs=0.01)
        bring_end_near(lab.store, ada.session_id)
        eventually(lambda: lab.rlms.status(ada.session_id) == -1, what="the time is over")
        ada.assert_out("time")
        ada.assert_over("time")
        ada.assert_next_gets_in()


def test_silence(lab: FlowLab) -> None:
    with visit(lab, "ada") as ada:
        bring_silence_near(lab.store, ada.session_id)
        eventually(lambda: lab.rlms.status(ada.session_id) == -1, what="the silence is too long")
        ada.assert_out("inactivity")
        ada.assert_over("inactivity")
        ada.assert_next_gets_in()


def test_logout_on_the_page(lab: FlowLab) -> None:
    with visit(lab, "ada") as ada:
        assert ada.page is not None
        assert ada.page.ask("logout") == {"ok": True}
        assert lab.rlms.status(ada.session_id) == -1
        ada.assert_out("logout")
        ada.assert_over("logout")
        ada.assert_next_gets_in()


def test_logout_by_its_url_is_for_the_session_s_own_browser(lab: FlowLab) -> None:
    with visit(lab, "ada", client={"dispose_file": "good-bye"}) as ada:
        way = f"/callback/{ada.session_id}/logout"
        assert Http(lab.port).ask("GET", way)[1] == {"success": False, "reason": "Different session identifier"}
        assert lab.rlms.status(ada.session_id) > 0
        assert ada.student.ask("GET", way)[1] == {"success": True}
        assert lab.rlms.status(ada.session_id) == -1
        assert ada.student.ask("POST", way)[1] == {"success": False, "reason": "User inactive"}
        eventually(lambda: sessions_in(lab, "on_dispose").count(ada.session_id), what="on_dispose")
        ada.assert_out("logout")
        assert lab.rlms.status(ada.session_id) == -1  # also while labkit itself is ending the session
        assert lab.rlms.dispose(ada.session_id) == DELETING
        assert lab.rlms.status(ada.session_id) == 2
        lab.tell("good-bye")
        dispose(lab, ada.session_id)
        ada.assert_over("logout")


def test_dispose_with_a_slow_on_dispose(lab: FlowLab) -> None:
    with visit(lab, "ada", client={"dispose_file": "slowly", "dispose_write": "# good-bye\r"}) as ada:
        first: list[Any] = []
        disposing = threading.Thread(target=lambda: first.append(lab.rlms.dispose(ada.session_id)))
        disposing.start()
        eventually(lambda: sessions_in(lab, "on_dispose").count(ada.session_id), what="on_dispose")
        ada.assert_out("disposed")
        assert lab.rlms.status(ada.session_id) == 2
        status, refusal = lab.rlms.start("eve")
        assert status == 503
        assert "bench-1 is reserved by another session since" in refusal["message"]
        disposing.join(30)
        assert first == [DELETING]
        lab.tell("slowly")
        dispose(lab, ada.session_id)
        ada.assert_over("disposed")
        assert b"# good-bye\r" in ada.own_record()
        ada.assert_next_gets_in()


def test_an_on_start_that_raises(lab: FlowLab) -> None:
    status, answer = lab.rlms.start("ada", client={"on_start": "raise", "write": "led 1 on\recho secret-of-ada\r"})
    assert status == 503
    assert answer["error"] is True
    session_id = lab.acts("on_start")[-1]["session"]
    assert session_id not in str(answer)
    assert lab.rlms.status(session_id) == -1
    ada = failed_visit(lab, session_id)
    ada.student.enter()
    ada.assert_out("start-failed")
    ada.assert_over("start-failed")
    ada.assert_next_gets_in()


def failed_visit(lab: FlowLab, session_id: str) -> Visit:
    """What the student would have, if the RLMS had been given a link."""
    ada = Visit(lab, Student(lab.port, session_id, f"http://127.0.0.1:{lab.port}/callback/{session_id}"), "ada")
    ada.secret = "secret-of-ada"
    return ada


def test_an_on_dispose_that_raises(lab: FlowLab) -> None:
    with visit(lab, "ada", client={"on_dispose": "raise"}) as ada:
        assert lab.rlms.dispose(ada.session_id)["message"] in ("Deleted", "Deleting")
        ada.assert_out("disposed")
        dispose(lab, ada.session_id)
        ada.assert_over("disposed", finished="on_dispose")
        assert "RuntimeError: this on_dispose raises" in lab.logs()
        ada.assert_next_gets_in()


def test_an_on_dispose_that_hangs_and_wakes_up_too_late(short_lab: FlowLab) -> None:
    lab = short_lab
    with visit(lab, "ada", client={"dispose_file": "too late", "dispose_write": "echo too-late\r"}) as ada:
        assert lab.rlms.dispose(ada.session_id)["message"] in ("Deleted", "Deleting")
        ada.assert_out("disposed")
        dispose(lab, ada.session_id)
        ada.assert_over("disposed", finished="on_dispose")
    with visit(lab, "next") as following:
        lab.tell("too late")
        eventually(lambda: lab.acts("on_dispose failed"), what="the late write is refused")
        assert lab.acts("on_dispose failed")[0]["error"] == "ReservationLostError"
        assert following.student.ask("POST", "/write", b"# still here\r")[0] == 200
        received = following.board.wait_received(b"# still here\r")
        assert b"too-late" not in received
        dispose(lab, following.session_id)
        following.assert_over("disposed", finished="")  # the two seconds may be too few for its own on_dispose


def test_admin(lab: FlowLab) -> None:
    """`flask weblab release`, from a process that has neither host nor threads."""
    with visit(lab, "ada") as ada:
        command = lab.start_process("flask", ["--app", "tests.flows.lab_app:app", "weblab", "release", "bench-1"])
        assert command.wait(60) == 0
        ada.assert_out("admin")
        assert lab.rlms.status(ada.session_id) == -1
        ada.assert_over("admin")
        ada.assert_next_gets_in()


def test_the_user_is_out_before_anybody_has_begun_to_end_the_session(make_lab: Callable[..., FlowLab]) -> None:
    """The only loop ends no sessions. The RLMS's dispose then finds nobody who does, and the web process sees to it."""
    lab = make_lab(benches=2)
    lab.loop(WEBLAB_AUTOCLEAN_THREAD=False)
    lab.web()
    lab.wait_free()
    with visit(lab, "ben") as ben, visit(lab, "ada") as ada:
        assert ada.page is not None
        assert ada.page.ask("logout") == {"ok": True}
        bring_end_near(lab.store, ben.session_id)
        eventually(lambda: lab.rlms.status(ben.session_id) == -1, what="the time is over")
        for one, reason in ((ada, "logout"), (ben, "time")):
            one.assert_out(reason)
            assert lab.sessions.touch(one.session_id, poll=False).state == "over"
            assert lab.rlms.status(one.session_id) == -1
            dispose(lab, one.session_id)
            one.assert_over(reason)


def sessions_in(lab: FlowLab, what: str) -> list[str]:
    return [act["session"] for act in lab.acts(what)]
