"""What a page shows of tasks: a line with a bar and a log, while they run. With a real task in a real lab, too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import url_for
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from labkit import current_task, requires_active
from labkit.testing.store import StoreServer
from tests.browser.harness import PretendedLab
from tests.browser.student import enter
from tests.small_lab import SmallLab

GUARD = 90.0  # seconds; in between a page is opened


def test_progress_is_shown_until_it_is_done(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    expect(page.get_by_test_id("tasks")).to_be_hidden()
    lab.tell_task(progress={"part": 0.4, "text": "writing"})
    expect(page.get_by_test_id("tasks")).to_contain_text("Program")
    expect(page.get_by_test_id("tasks")).to_contain_text("40 %writing")
    assert page.get_by_role("progressbar").get_attribute("value") == "0.4"
    lab.tell_task(progress={"part": 1.0, "text": "done"})
    expect(page.get_by_test_id("tasks")).to_be_hidden()


def test_task_that_shows_nothing_is_not_shown(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.tell_task()
    lab.tell_task(task="t2", progress={"part": 0.1, "text": ""})
    expect(page.locator(".task")).to_have_count(1)


def test_log_that_is_being_read_stays_when_the_task_is_done(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.tell_task(log=["erasing", "writing <b>"])
    lab.tell_task(log=["verifying"])
    expect(page.locator(".task-text")).to_have_text("verifying")
    page.locator(".task-log summary").click()
    expect(page.locator(".task-log pre")).to_have_text("erasing\nwriting <b>\nverifying")
    lab.tell_task(status="done")
    expect(page.locator(".task-part")).to_have_text("done")
    page.wait_for_timeout(2_000)  # longer than a line without a reader stays
    page.locator(".task-log summary").click()
    expect(page.locator(".task")).to_have_count(0)


def test_failed_task_says_so(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.tell_task(progress={"part": 0.4, "text": "writing"})
    lab.tell_task(status="failed", progress={"part": 0.4, "text": "writing"})
    expect(page.locator(".task-part")).to_have_text("failed")
    expect(page.get_by_test_id("announcer")).to_have_text("Program failed.")


def test_task_that_ended_while_the_page_was_away_is_gone_when_it_is_back(page: Page, lab: PretendedLab) -> None:
    lab.tasks = [
        {"task": "t1", "name": "program", "status": "running", "progress": {"part": 0.4, "text": ""}, "log": ["a"]}
    ]
    enter(page, lab)
    expect(page.locator(".task")).to_have_count(1)
    lab.tasks = []
    lab.break_connections()
    expect(page.locator(".task")).to_have_count(0)


class RealLab:
    """A lab with one task that waits for a test between its steps, on a port."""

    def __init__(self, folder: Path, store: str):
        self.steps = threading.Semaphore(0)
        self.small = SmallLab(folder, store, devices=["toy"], hooks=False, LABKIT_TITLE="Real lab")
        self.small.weblab.initial_url(lambda: url_for("labkit.page"))
        program = self.small.weblab.task()(self.program)
        self.small.view("/program", requires_active(lambda: program.delay().task_id))
        self.server = make_server("127.0.0.1", 0, self.small.app, threaded=True)
        self.server.daemon_threads = True  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def program(self) -> None:
        for part, text in ((0.25, "writing"), (0.75, "verifying")):
            current_task.progress(part, text)
            current_task.log(f"{text} the chip")
            assert self.steps.acquire(timeout=GUARD)

    def close(self) -> None:
        self.steps.release(10)
        self.small.__exit__(None, None, None)
        self.server.shutdown()
        self.thread.join(GUARD)
        self.server.server_close()


@pytest.fixture
def real(tmp_path: Path, store_server: StoreServer) -> Iterator[RealLab]:
    lab = RealLab(tmp_path, store_server.url)
    lab.small.up()
    yield lab
    lab.close()


def test_real_task_is_followed_on_an_open_page_which_goes_on_afterwards(real: RealLab, browser: Browser) -> None:
    session = real.small.start(length=120)
    context = browser.new_context()
    page, other = context.new_page(), context.new_page()
    page.goto(f"http://127.0.0.1:{real.server.port}/callback/{session}")
    expect(page.locator("#link")).to_have_attribute("data-state", "online")
    assert context.request.get(f"http://127.0.0.1:{real.server.port}/program").ok
    expect(page.locator(".task")).to_contain_text("25 %writing")
    other.goto(f"http://127.0.0.1:{real.server.port}/labkit/")  # a page that comes later is shown it too
    expect(other.locator(".task")).to_contain_text("25 %writing")
    real.steps.release()
    expect(page.locator(".task")).to_contain_text("75 %verifying")
    page.locator(".task-log summary").click()
    expect(page.locator(".task-log pre")).to_have_text("writing the chip\nverifying the chip")
    real.steps.release()
    expect(other.locator(".task")).to_have_count(0)
    real.small.world.toys[-1].received.emit(b"and the feed goes on")
    expect(page.get_by_label("Feed received")).to_contain_text("and the feed goes on")
    context.close()
