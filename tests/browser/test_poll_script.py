"""`weblab_poll_script()` in a real browser, on the pages of a real lab that stands below an application root."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from labkit.store.sessions import SessionState
from labkit.testing.store import StoreServer
from tests.browser.complaints import note_complaints
from tests.browser.lab_of_pages import LabOfPages
from tests.browser.student import until
from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.docs.markdown import blocks_of
from tests.flows.passed_time import bring_end_near, pass_silently

COUNTING = "<script>window.told = 0; function ended() { told += 1; }</script>"
QUICK = 0.4
"""Seconds of WEBLAB_TIMEOUT for a script that polls five times a second. The sessions here bear longer silence."""


@pytest.fixture
def make_lab(tmp_path: Path, store_server: StoreServer) -> Iterator[Callable[..., LabOfPages]]:
    made: list[LabOfPages] = []

    def make(store: str = "", **settings: Any) -> LabOfPages:
        made.append(LabOfPages(tmp_path, store or store_server.url, **settings))
        return made[-1]

    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[..., LabOfPages]) -> LabOfPages:
    return make_lab()


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A student's page that fails the test where the browser complains about anything."""
    context = browser.new_context()
    yield note_complaints(context.new_page(), complaints)
    context.close()
    assert complaints == []


def script(arguments: str = "") -> str:
    return f"{{{{ weblab_poll_script({arguments}) }}}}"


def told(page: Page) -> int:
    return int(page.evaluate("() => told"))


# -- keeping alive


def test_open_page_keeps_its_session_alive_beyond_the_timeout(make_lab: Callable[..., LabOfPages], page: Page) -> None:
    lab = make_lab(WEBLAB_TIMEOUT=60, WEBLAB_AUTOPOLL=False)
    silent = lab.small.start()
    session = lab.enter(page, COUNTING + script("callback='ended'"), timeout=QUICK)
    for _ in range(2):
        for one in (session, silent):
            pass_silently(lab.small.lab.store, one, 35)
        before = lab.polls()
        until(page, lambda: lab.polls() > before + 1)  # noqa: B023 - now
    lab.small.wait_state(silent, SessionState.EXPIRED)
    assert (lab.state(session), told(page)) == (SessionState.ACTIVE, 0)
    assert lab.reason(silent) == "inactivity"


def test_page_asks_the_lab_for_itself_and_for_polls_and_for_nothing_else(lab: LabOfPages, page: Page) -> None:
    urls: list[str] = []
    page.on("request", lambda one: urls.append(one.url))
    session = lab.enter(page, script("logout_on_close=True"), timeout=QUICK)
    until(page, lambda: lab.polls() > 3)
    paths = {f"/callback/{session}", "/show/main", f"/callback/{session}/poll"}
    assert {url.removeprefix(lab.url) for url in urls} == paths
    assert {one.split()[0] for one in lab.asked if one.endswith("/poll")} == {"POST"}


def test_first_poll_comes_at_once_and_the_next_when_the_page_is_looked_at_again(lab: LabOfPages, page: Page) -> None:
    lab.enter(page, script())
    until(page, lambda: lab.polls() == 1)
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    until(page, lambda: lab.polls() == 2)
    page.evaluate("() => dispatchEvent(new Event('online'))")
    until(page, lambda: lab.polls() == 3)


ALARMS = """
    window.alarms = new Map(); // the timers that are set; they ring when the test says so
    let last = 0;
    window.setTimeout = (act, wait) => (alarms.set(++last, { act, wait }), last);
    window.clearTimeout = (id) => alarms.delete(id);
    window.polls = () => [...alarms].filter(([, { wait }]) => wait < 60_000); // the other: the time is over
    window.ring = () => polls().forEach(([id, { act }]) => alarms.delete(id) && act());
    window.answered = 0;
    const read = Response.prototype.json;
    Response.prototype.json = async function () {
        const said = await read.call(this);
        answered += 1;
        return said;
    };
"""


def test_looking_at_the_page_often_does_not_make_it_poll_more_often_afterwards(lab: LabOfPages, page: Page) -> None:
    page.add_init_script(ALARMS)
    lab.enter(page, script())
    until(page, lambda: page.evaluate("() => answered") == 1)
    page.evaluate("() => { for (let i = 0; i < 20; i++) document.dispatchEvent(new Event('visibilitychange')); }")
    for answered in (21, 22, 23):
        until(page, lambda: page.evaluate("() => answered") == answered)  # noqa: B023 - now
        assert page.evaluate("() => polls().length") == 1  # each look's own would go on beside the others
        assert lab.polls() == answered
        page.evaluate("() => ring()")


def test_timeout_that_no_timer_could_wait_for_makes_no_storm_of_polls(
    make_lab: Callable[..., LabOfPages], page: Page
) -> None:
    lab = make_lab(WEBLAB_TIMEOUT=0)
    lab.enter(page, script(), timeout=1e9, length=300 * 86400)
    until(page, lambda: lab.polls() == 1)
    page.wait_for_timeout(300)
    assert lab.polls() == 1


def test_it_goes_on_through_everything_that_is_no_answer_of_the_lab(
    lab: LabOfPages, page: Page, complaints: list[str]
) -> None:
    html = {"content_type": "text/html", "body": "<h1>Sorry</h1>"}
    broken: list[Callable[[Route], None]] = [
        lambda route: route.fulfill(status=502, **html),
        lambda route: route.fulfill(status=503, json={"success": False, "reason": "Store away"}),
        lambda route: route.abort("connectionrefused"),
        lambda route: route.fulfill(status=504, body=""),
        lambda route: route.fulfill(status=403, json={"success": False}),
        lambda route: route.fulfill(status=404, **html),
        lambda route: route.fulfill(status=200, **html),
        lambda route: route.fulfill(status=200, json=None),
        lambda route: route.fulfill(status=200, json=["success"]),
        lambda route: route.fulfill(status=200, json={}),
    ]
    page.route("**/poll", lambda route: broken.pop(0)(route) if broken else route.continue_())
    session = lab.enter(page, COUNTING + script("callback='ended'"), timeout=QUICK)
    until(page, lambda: lab.polls() > 1)
    assert broken == []
    assert (lab.state(session), told(page)) == (SessionState.ACTIVE, 0)
    assert all(text.startswith("Failed to load resource") for text in complaints)  # the browser's own words
    complaints.clear()


def test_a_poll_that_failed_is_tried_again_before_the_next_one_is_due(
    lab: LabOfPages, page: Page, complaints: list[str]
) -> None:
    first = [503]
    page.route("**/poll", lambda route: route.fulfill(status=first.pop(), body="") if first else route.continue_())
    lab.enter(page, script(), timeout=40)  # so that the next one is due after 20 s
    until(page, lambda: lab.polls() == 1)
    assert len(complaints) == 1
    complaints.clear()


def test_session_survives_a_store_that_is_away_for_a_while(
    make_lab: Callable[..., LabOfPages], page: Page, complaints: list[str]
) -> None:
    with StoreServer(append_only=True) as server:
        lab = make_lab(server.url)
        session = lab.enter(page, COUNTING + script("callback='ended'"), timeout=QUICK)
        until(page, lambda: lab.polls() > 0)
        lab.small.lab.store.command("CONFIG", "SET", "appendfsync", "always")
        server.stop(signal.SIGKILL)
        until(page, lambda: len(complaints) > 2)
        server.start()
        before = lab.small.read(session).number("last_poll")
        until(page, lambda: lab.small.read(session).number("last_poll") > before)
        assert (lab.state(session), told(page)) == (SessionState.ACTIVE, 0)
        assert all("503" in text for text in complaints)
        complaints.clear()
        page.goto("about:blank")
        lab.small.weblab.close()


# -- the end


def test_callback_is_called_once_when_the_session_is_over(lab: LabOfPages, page: Page) -> None:
    session = lab.enter(page, COUNTING + script("callback='ended'"), timeout=QUICK)
    until(page, lambda: lab.polls() > 2)
    assert told(page) == 0
    lab.small.dispose(session)
    until(page, lambda: told(page) == 1)
    asked = lab.polls()
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(1000)  # five polls long
    assert (told(page), lab.polls()) == (1, asked)


def test_end_of_the_time_is_told_before_the_next_poll_is_due(make_lab: Callable[..., LabOfPages], page: Page) -> None:
    lab = make_lab(WEBLAB_TIMEOUT=10_000)  # so that the next poll is due after 5,000 s
    page.clock.install()
    session = lab.enter(page, COUNTING + script("callback='ended'"), length=600)
    until(page, lambda: lab.polls() == 1)
    bring_end_near(lab.small.lab.store, session)
    lab.small.wait_state(session, SessionState.EXPIRED)
    assert told(page) == 0
    page.clock.fast_forward(601_000)
    until(page, lambda: told(page) == 1)
    assert lab.reason(session) == "time"


def test_page_that_is_shown_after_the_end_is_told_at_once(lab: LabOfPages, page: Page) -> None:
    session = lab.enter(page, COUNTING)
    lab.small.dispose(session)
    lab.pages["main"] = script("callback='ended'") + COUNTING
    page.reload()
    until(page, lambda: told(page) == 1)
    assert lab.polls() == 1


def test_callback_may_be_a_method_that_comes_further_down_and_late(lab: LabOfPages, page: Page) -> None:
    late = "window.calls = []; const lab = {name: 'mine', ended() { calls.push(this.name); }};"

    def answer_late(route: Route) -> None:
        until(page, lambda: lab.polls() == 1)
        page.wait_for_timeout(300)  # the page has the poll's answer by now
        route.fulfill(content_type="text/javascript", body=late)

    page.route("**/late.js", answer_late)
    session = lab.enter(page, "")
    lab.small.dispose(session)
    lab.pages["main"] = script("callback='lab.ended'") + "<script defer src='late.js'></script>"
    page.reload()
    until(page, lambda: page.evaluate("() => calls") == ["mine"])


def test_page_of_the_documentation_works(lab: LabOfPages, page: Page, root: Path) -> None:
    (body, *_) = [block.text for block in blocks_of(root / "docs/reference/templates.md") if block.language == "html"]
    session = lab.enter(page, body, timeout=QUICK)
    expect(page).to_have_title("The lab of ada")
    until(page, lambda: lab.polls() > 1)
    expect(page.locator("#over")).to_be_hidden()
    lab.small.dispose(session)
    expect(page.locator("#over")).to_be_visible()
    expect(page.locator("#start")).to_be_disabled()


def test_callback_that_is_nowhere_is_said_once_and_stops_nothing(
    lab: LabOfPages, page: Page, complaints: list[str]
) -> None:
    body = COUNTING + script("callback='nowhere.ended'") + script("callback='ended'")
    session = lab.enter(page, body, timeout=QUICK)
    lab.small.dispose(session)
    until(page, lambda: told(page) == 1 and bool(complaints))
    page.wait_for_timeout(600)
    (complaint,) = complaints
    assert complaint.startswith("The session is over, but nowhere.ended() failed: ReferenceError: nowhere is not def")
    complaints.clear()


def test_two_scripts_on_a_page_poll_as_one_and_call_each_callback_once(lab: LabOfPages, page: Page) -> None:
    other = "<script>window.others = 0; function other() { others += 1; }</script>"
    scripts = script("callback='ended'") + script("callback='ended'") + script() + script("True, 'other'")
    session = lab.enter(page, COUNTING + other + scripts)
    until(page, lambda: lab.polls() == 1)
    lab.small.dispose(session)
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    until(page, lambda: page.evaluate("() => [told, others]") == [1, 1])
    page.wait_for_timeout(300)
    assert page.evaluate("() => [told, others]") == [1, 1]
    assert lab.polls() == 2
    page.close(run_before_unload=True)


def test_page_of_another_session_of_the_same_browser_is_over(lab: LabOfPages, page: Page) -> None:
    lab.enter(page, COUNTING + script("callback='ended'"), timeout=QUICK)
    other = page.context.new_page()
    second = lab.enter(other, COUNTING + script("callback='ended'"))
    until(page, lambda: told(page) == 1)
    assert (told(other), lab.state(second)) == (0, SessionState.ACTIVE)


# -- closing the page


@pytest.fixture
def keeping_browser(browser: Browser) -> Iterator[Browser]:
    """A Chromium that keeps pages which are left, for the way back; Playwright usually switches that off."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    chromium = browser.browser_type.launch(
        executable_path=executable,
        args=list(CHROMIUM_ARGS),
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield chromium
    chromium.close()


def closes(lab: LabOfPages, page: Page, session: str) -> None:
    """See that closing the page is what logs out."""
    assert lab.logouts() == 0
    assert lab.state(session) is SessionState.ACTIVE
    page.wait_for_load_state()  # the end of a page that is still being loaded is no pagehide
    page.close(run_before_unload=True)
    lab.small.wait_state(session, SessionState.EXPIRED)
    assert lab.reason(session) == "logout"


def test_closing_the_page_logs_out(lab: LabOfPages, page: Page) -> None:
    closes(lab, page, lab.enter(page, script("logout_on_close=True")))


def test_closing_the_page_does_not_log_out_where_nobody_asked_for_it(lab: LabOfPages, page: Page) -> None:
    session = lab.enter(page, script())
    page.close(run_before_unload=True)
    later = page.context.new_page()
    later.goto(f"{lab.url}/show/later")  # what the closed page had to say would have come before
    assert [one for one in lab.asked if one.startswith("POST") and not one.endswith("/poll")] == []
    assert lab.state(session) is SessionState.ACTIVE


def test_page_of_a_session_that_is_over_does_not_log_out(lab: LabOfPages, page: Page) -> None:
    session = lab.enter(page, COUNTING + script("True, 'ended'"), timeout=QUICK)
    lab.small.dispose(session)
    until(page, lambda: told(page) == 1)
    page.goto(f"{lab.url}/show/later")
    page.goto(f"{lab.url}/show/later")
    assert lab.logouts() == 0


MOVES: dict[str, Callable[[Page], object]] = {
    "link": lambda page: page.click("a"),
    "form": lambda page: page.click("button"),
    "F5": lambda page: (page.keyboard.press("F5"), page.reload()),  # the key alone does nothing in a headless browser
    "Ctrl-R": lambda page: (page.keyboard.press("Control+r"), page.reload()),
    "script": lambda page: page.evaluate("() => { location.href = 'second'; }"),
    "reloading-script": lambda page: page.evaluate("() => location.reload()"),
}


@pytest.mark.parametrize("way", [*MOVES, "link in an older browser", "form in an older browser"])
def test_moving_within_the_lab_does_not_log_out(lab: LabOfPages, page: Page, way: str) -> None:
    if "older" in way:
        page.add_init_script("delete globalThis.NavigateEvent; delete globalThis.navigation")
    body = "<a href='second'>On</a><form action='second'><button>On</button></form>" + script("True")
    lab.pages["second"] = body
    session = lab.enter(page, body)
    until(page, lambda: lab.polls() == 1)
    MOVES[way.partition(" ")[0]](page)
    until(page, lambda: lab.polls() == 2)
    closes(lab, page, session)


@pytest.mark.parametrize("address", ["/", "/mylab2/", "http://localhost:{port}/mylab/show/main"])
def test_link_out_of_the_lab_logs_out(lab: LabOfPages, page: Page, address: str) -> None:
    session = lab.enter(page, f"<a href='{address.format(port=lab.server.port)}'>Out</a>" + script("True"))
    page.click("a")
    lab.small.wait_state(session, SessionState.EXPIRED)
    assert lab.reason(session) == "logout"


def test_download_and_a_place_on_the_page_are_no_move(lab: LabOfPages, page: Page) -> None:
    session = lab.enter(page, "<a href='#x'>Down</a><a download href='data:,x'>Get</a>" + script("True"))
    page.click("text=Down")
    with page.expect_download():
        page.click("text=Get")
    closes(lab, page, session)


def test_page_that_the_browser_keeps_does_not_log_out_and_polls_when_it_is_back(
    lab: LabOfPages, keeping_browser: Browser, complaints: list[str]
) -> None:
    page = note_complaints(keeping_browser.new_page(), complaints)
    session = lab.enter(page, script("True"))
    until(page, lambda: lab.polls() == 1)
    page.evaluate("() => { window.kept = true; }")
    page.goto(f"http://localhost:{lab.server.port}/")
    page.go_back(wait_until="commit")
    assert page.evaluate("() => window.kept")
    until(page, lambda: lab.polls() > 1)
    assert (lab.logouts(), lab.state(session), complaints) == (0, SessionState.ACTIVE, [])


def test_script_with_a_nonce_works_under_a_strict_policy(lab: LabOfPages, page: Page) -> None:
    lab.policy = "default-src 'none'; script-src 'nonce-r4nd0m'; connect-src 'self'; img-src data:"
    session = lab.enter(page, script("True, nonce='r4nd0m'"), timeout=QUICK)
    until(page, lambda: lab.polls() > 1)
    page.close(run_before_unload=True)
    lab.small.wait_state(session, SessionState.EXPIRED)
    assert lab.reason(session) == "logout"
