"""What a page tells the lab that it has of a feed of bytes: all of it, and not with each message."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.harness import PretendedLab
from tests.browser.student import enter, shows, until

MESSAGES = 200
WITHOUT_ITS_TIMER = """() => {
    const real = window.setTimeout;
    window.setTimeout = (act, milliseconds, ...more) => milliseconds === 100 ? 0 : real(act, milliseconds, ...more);
}"""


def acknowledged(lab: PretendedLab) -> list[str]:
    return [told["cursor"] for event, told in lab.events if event == "ack"]


def test_many_small_messages_are_acknowledged_together_and_to_the_last_one(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    for number in range(MESSAGES):
        lab.say(f"{number}\r\n")
    lab.say("the last one")
    shows(page, "the last one")
    until(page, lambda: acknowledged(lab)[-1:] == [f"e:{len(lab.kept)}"])
    assert len(acknowledged(lab)) < MESSAGES / 2


def test_much_is_acknowledged_at_once_so_that_more_can_come(page: Page, lab: PretendedLab) -> None:
    """No timer is waited for then: a browser slows those of a page in the background down."""
    enter(page, lab)
    until(page, lambda: acknowledged(lab) == [f"e:{len(lab.kept)}"])
    page.evaluate(WITHOUT_ITS_TIMER)
    lab.say("x" * 40_000)
    until(page, lambda: acknowledged(lab)[-1:] == [f"e:{len(lab.kept)}"])


def test_a_feed_that_goes_on_after_the_connection_broke_is_acknowledged_as_before(
    page: Page, lab: PretendedLab
) -> None:
    enter(page, lab)
    lab.say("before")
    shows(page, "before")
    lab.break_connections()
    until(page, lambda: len([event for event, _ in lab.events if event == "subscribe"]) == 2)
    lab.say("after")
    shows(page, "after")
    until(page, lambda: acknowledged(lab)[-1:] == [f"e:{len(lab.kept)}"])
