"""labkit's pages in a frame of an LMS, in a real browser: a frame of another site's page is let in only where the lab's
owner has named that site (LABKIT_EMBED); then all of a page works there, its cookie and its socket too.

Both sites are served by HTTPS, as they have to be; the names below `localhost` are sites of their own to a browser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import url_for
from playwright.sync_api import Browser, Frame, Page, expect
from werkzeug.wrappers import Request, Response

from labkit.testing.store import StoreServer
from tests.browser.complaints import note_complaints
from tests.browser.student import until
from tests.security.busy_lab import BusyLab
from tests.store.tls_ends import Authority, TlsEnd
from tests.web.served import served

LAB, LMS, ELSEWHERE = "lab.localhost", "lms.localhost", "elsewhere.localhost"
FRAME = (
    '<!doctype html><title>A course</title><link rel="icon" href="data:,">'
    '<iframe width="1000" height="600" src="{}"></iframe>'
)


@Request.application
def lms(request: Request) -> Response:
    """The page of an LMS, or of anybody: a frame with what its query names."""
    return Response(FRAME.format(request.args["show"]), mimetype="text/html")


class Course:
    """A browser at an LMS that frames a lab. lms, elsewhere: where the two other sites are."""

    def __init__(self, browser: Browser, lab: BusyLab, port: int, sites: int):
        self._context = browser.new_context(ignore_https_errors=True)  # nobody but the test knows who has signed
        self.lab = lab
        self.at = f"https://{LAB}:{port}"
        self.lms, self.elsewhere = (f"https://{name}:{sites}" for name in (LMS, ELSEWHERE))
        self.complaints: list[str] = []

    def close(self) -> None:
        self._context.close()

    def page(self, url: str) -> Page:
        page = self._context.new_page()
        note_complaints(page, self.complaints)
        page.goto(url)
        return page

    def frame(self, site: str, shown: str) -> Frame:
        """Open a page of a site that frames something; gives the frame when it has loaded."""
        (frame,) = self.page(f"{site}/course?show={shown}").main_frame.child_frames
        frame.wait_for_load_state()
        return frame

    def link(self, session: str) -> str:
        return f"{self.at}/callback/{session}"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def made(browser: Browser, tmp_path: Path, store_server: StoreServer, keys: Authority) -> Iterator[Any]:
    """Makes a course whose lab has certain settings; `{lms}` in one is the LMS's origin."""
    with contextlib.ExitStack() as stack:

        def make(**settings: str) -> Course:
            context = keys.issue("web", f"DNS:{LAB}", f"DNS:{LMS}", f"DNS:{ELSEWHERE}")
            sites = stack.enter_context(TlsEnd(stack.enter_context(served(lms)), context)).port
            given = {name: value.format(lms=f"https://{LMS}:{sites}") for name, value in settings.items()}
            lab = BusyLab(tmp_path, store_server.url, hooks=False, WEBLAB_SCHEME="https", **given)
            lab.weblab.initial_url(lambda: url_for("labkit.page"))
            stack.enter_context(lab)
            course = Course(browser, lab, stack.enter_context(TlsEnd(lab.port, context)).port, sites)
            stack.callback(course.close)
            return course

        yield make


def use(frame: Frame) -> None:
    """Have the page in the frame say a word to the device, by its socket."""
    expect(frame.locator("#link")).to_have_attribute("data-state", "online")
    form = frame.locator('form[data-command="write"]')
    form.locator('[name="what"]').fill('"from the frame"')
    form.get_by_role("button").click()
    expect(form.locator("output")).to_contain_text("from the frame")


def refused(course: Course, frame: Frame) -> bool:
    """Whether the browser shows nothing of the lab in a frame, and says why, be it a moment later."""
    until(frame.page, lambda: any("frame-ancestors" in line for line in course.complaints))
    course.complaints.clear()
    return frame.locator("#devices").count() == 0 and not frame.url.startswith("https:")


def test_page_works_in_a_frame_of_the_site_that_the_owner_has_named_and_in_no_other(made: Any) -> None:
    course = made(LABKIT_EMBED="{lms}")
    session = course.lab.start(length=600)
    bench = course.lab.bench_of(session)
    frame = course.frame(course.lms, course.link(session))
    use(frame)
    assert "from the frame" in str(course.lab.worlds[f"{bench}/toy"].acts)
    assert [said for said in course.complaints if "autofocus" not in said] == []  # of a dialog that is not open yet
    for shown in (course.link(session), f"{course.at}/labkit/", course.link(course.lab.start(length=600))):
        assert refused(course, course.frame(course.elsewhere, shown))
    frame.goto(f"{course.at}/labkit/")  # the cookie lets in, and no other site has exchanged it for another session's
    expect(frame.locator("#link")).to_have_attribute("data-state", "online")
    expect(frame.locator(f'[data-device="{bench}/toy"]')).to_be_visible()
    inner = f"{course.lms}/course%3Fshow={course.link(session)}"
    between = course.page(f"{course.elsewhere}/course?show={inner}")
    between.wait_for_load_state()
    (innermost,) = (one for one in between.frames if not one.child_frames)
    assert refused(course, innermost)  # the named site, itself in a frame of another


def test_page_is_shown_in_no_frame_where_the_owner_has_named_none(made: Any) -> None:
    course = made(SESSION_COOKIE_NAME="__Host-session")  # as docs/security.md has it against neighbours
    session = course.lab.start(length=600)
    for site in (course.lms, course.elsewhere):
        assert refused(course, course.frame(site, course.link(session)))
    assert course.page(f"{course.at}/labkit/").locator("#devices").count() == 0  # nor has a frame got the cookie
    course.complaints.clear()
    own = course.page(course.link(session))
    expect(own.locator("#link")).to_have_attribute("data-state", "online")
