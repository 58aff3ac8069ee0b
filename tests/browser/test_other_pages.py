"""The pages around a session: its end, a refusal, a message, the demo's welcome."""

from __future__ import annotations

import datetime as dt
import re
import time
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.harness import PretendedLab

REFUSAL = "bench-1 is reserved by another session until 14:02:10 UTC."


def show(page: Page, lab: PretendedLab, name: str, **given: object) -> None:
    page.goto(f"{lab.url}/labkit/show/{name}?{urlencode(given)}")


@pytest.mark.parametrize(
    ("reason", "heading"),
    [
        ("time", "Your time is over"),
        ("inactivity", "The session ended because it was quiet"),
        ("logout", "You have logged out"),
        ("disposed", "The session was ended from outside"),
        ("admin", "The lab's staff ended the session"),
        ("start-failed", "The session could not start"),
        ("lost", "The session was lost"),
        ("unknown", "This session is over"),
        ("", "This session is over"),
    ],
)
def test_end_gives_the_reason_and_the_way_back(page: Page, lab: PretendedLab, reason: str, heading: str) -> None:
    show(page, lab, "ended", reason=reason, ended_at=1_763_812_930.5, back="/course")
    expect(page.get_by_role("heading")).to_have_text(heading)
    expect(page.get_by_test_id("ended")).to_contain_text("Ended at 2025-11-22 12:02:10 UTC")
    expect(page.get_by_test_id("back")).to_have_attribute("href", "/course")


def test_end_without_a_way_back_says_to_close_the_tab(page: Page, lab: PretendedLab) -> None:
    show(page, lab, "ended", reason="time")
    expect(page.get_by_text("You can close this tab now.")).to_be_visible()
    expect(page.get_by_test_id("back")).to_have_count(0)


def test_refusal_says_what_is_missing_and_counts_down(page: Page, lab: PretendedLab) -> None:
    now = dt.datetime(2026, 3, 2, 14, tzinfo=dt.UTC)
    page.clock.set_fixed_time(now)
    show(page, lab, "refused", message=REFUSAL, until=now.timestamp() + 3, retry="/again")
    expect(page.get_by_test_id("refusal")).to_have_text(REFUSAL)
    expect(page.get_by_test_id("retry")).to_have_attribute("href", "/again")
    expect(page.get_by_test_id("wait")).to_have_text(re.compile(r"^Try again at [\d:]+ UTC, in \d s\.$"))
    page.clock.set_fixed_time(now + dt.timedelta(seconds=4))
    expect(page.get_by_test_id("wait")).to_have_text("It should be free now.")


@pytest.mark.parametrize(("kind", "heading"), [
    ("store", "The lab can't reach its store"),
    ("forbidden", "This page belongs to a session"),
    ("full", "The lab is full"),
])  # fmt: skip
def test_message_has_a_heading_for_each_kind(page: Page, lab: PretendedLab, kind: str, heading: str) -> None:
    show(page, lab, "message", kind=kind, retry="/again")
    expect(page.get_by_role("heading")).to_have_text(heading)
    expect(page.get_by_test_id("message")).to_have_attribute("data-kind", kind)
    expect(page.get_by_test_id("retry")).to_be_visible()


def test_text_of_others_is_shown_and_never_run(page: Page, lab: PretendedLab) -> None:
    lab.title = "</title><script>document.body.id = 'broken'</script>"
    show(page, lab, "message", kind="other", heading="<b>No</b>", text="<img src=x>")
    expect(page.get_by_role("heading")).to_have_text("<b>No</b>")
    page.goto(f"{lab.url}/labkit/page")
    expect(page.get_by_role("heading", level=1)).to_have_text(lab.title)
    assert page.evaluate("() => document.querySelectorAll('script:not([src]):not([type])').length") == 0


@pytest.mark.parametrize(("seconds", "length"), [(60, "60 seconds"), (120, "2 minutes"), (150, "2.5 minutes")])
def test_demo_says_how_long_a_session_is(page: Page, lab: PretendedLab, seconds: int, length: str) -> None:
    show(page, lab, "demo", seconds=seconds)
    expect(page.get_by_role("main")).to_contain_text(f"for {length};")
    expect(page.get_by_test_id("refusal")).to_have_count(0)
    expect(page.get_by_test_id("start")).to_have_text("Start a session")


def test_demo_starts_by_a_post_and_shows_a_refusal(page: Page, lab: PretendedLab) -> None:
    show(page, lab, "demo", seconds=120, refusal=REFUSAL)
    expect(page.get_by_test_id("refusal")).to_have_text(REFUSAL)
    with page.expect_request(lambda request: request.method == "POST"):
        page.get_by_test_id("start").click()


def test_times_are_the_readers_own_and_read_alike_everywhere(browser: Browser, lab: PretendedLab) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata", locale="de-DE")
    page = context.new_page()
    show(page, lab, "ended", reason="time", ended_at=1_763_812_930.5)
    expect(page.get_by_test_id("ended")).to_contain_text("Ended at 22.11.2025, 17:32:10.")
    text = "bench-1 is reserved by another session since 13:02:28 UTC until 13:07:28 UTC."
    ours = "bench-1 is reserved by another session since 18:32:28 until 18:37:28."
    until = time.time() + 3600
    for name in ("refused", "demo"):
        show(page, lab, name, message=text, refusal=text, until=until, seconds=60)
        expect(page.get_by_test_id("refusal")).to_have_text(ours)
        expect(page.get_by_test_id("wait")).to_have_text(
            re.compile(r"^Try again at \d\d:\d\d:\d\d, in (1 h|59 min \d+ s)\.$")
        )
    show(page, lab, "refused", message="bench-1 is in maintenance since 2025-11-22 23:02:28 UTC (new motor).")
    expect(page.get_by_test_id("refusal")).to_have_text(
        "bench-1 is in maintenance since 23.11.2025, 04:32:28 (new motor)."
    )
    page.goto(f"{lab.url}/labkit/page")
    expect(page.locator("#link")).to_have_attribute("data-state", "online")
    lab.end("time")
    expect(page.locator("#ended-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    context.close()
