"""`weblab_user.data` in a task: stored by hand, and a change that is not stored is said."""

from __future__ import annotations

import pytest

from labkit import weblab_user
from tests.small_lab import MakeLab, SmallLab


@pytest.fixture
def lab(make: MakeLab) -> SmallLab:
    return make(WEBLAB_NO_THREAD=True)


@pytest.mark.parametrize("stored", [True, False])
def test_change_in_a_task_is_kept_only_where_it_was_stored(
    lab: SmallLab, caplog: pytest.LogCaptureFixture, stored: bool
) -> None:
    @lab.weblab.task()
    def change() -> None:
        weblab_user.data["led"] = "on"
        if stored:
            weblab_user.data.store()

    lab.view("/change", lambda: change.delay().task_id)
    session = lab.start()
    lab.student(session).get("/change")
    lab.weblab.run_tasks()
    assert lab.lab.sessions.data(session) == ({"led": "on"} if stored else {})
    warned = "task changed weblab_user.data and did not store it" in caplog.text
    assert warned is not stored
    assert session not in caplog.text


def test_task_that_only_reads_data_warns_of_nothing(lab: SmallLab, caplog: pytest.LogCaptureFixture) -> None:
    lab.view("/read", lambda: read.delay().task_id)

    @lab.weblab.task()
    def read() -> int:
        return len(weblab_user.data)

    lab.student(lab.start()).get("/read")
    lab.weblab.run_tasks()
    assert "did not store" not in caplog.text
