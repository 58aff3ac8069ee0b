"""What a board's output can do to the page of the terminal, in a real browser: nothing but be read."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import complaints as complaints
from tests.browser.conftest import lab as lab
from tests.browser.conftest import page as page
from tests.browser.harness import PretendedLab
from tests.browser.student import enter, shows, until

LINK = "\x1b]8;;https://evil.example/\x07here\x1b]8;;\x07"
ACTS = [
    "\x1b]0;evil title\x07", "\x1b]2;evil title\x07", "\x1b]52;c;ZXZpbA==\x07", "\x1b]52;c;?\x07", "\x1b[21t",
    "\x1b[20t",
    "\x1b[8;1;1t", "\x1b[3;0;0t", "\x1b[13t", "\x1b[19t", "\x1bP$qm\x1b\\", "\x1b]7;file:///etc\x07",
    "\x1b]9;x\x07", "\x1b]777;notify;a;b\x07",
    "\x1b]1337;File=inline=1:AAAA\x07", LINK,
]  # fmt: skip


def test_output_of_a_board_sets_no_title_writes_no_clipboard_and_makes_no_link(page: Page, lab: PretendedLab) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    enter(page, lab)
    page.evaluate("navigator.clipboard.writeText('mine')")
    page.evaluate("() => { window.opened = []; window.open = (...where) => { opened.push(where); return null; }; }")
    page.on("dialog", lambda dialog: dialog.accept())  # what would ask before it follows a link
    lab.say("".join(ACTS) + "\r\nthe end of it\r\n<img src=x onerror=\"opened.push('image')\">")
    shows(page, "the end of it\n<img src=x")
    cell = page.locator(".xterm-screen").bounding_box()
    assert cell is not None
    for column in range(0, 60, 4):  # each place of the line in which the link's text stands
        page.mouse.click(cell["x"] + 4 + column * 8, cell["y"] + 28)
    assert page.evaluate("opened") == []
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    assert "evil" not in page.title()
    assert page.locator(".xterm-screen img").count() == 0
    page.keyboard.type("ok\n")
    until(page, lambda: b"ok\r" in b"".join(lab.written))
    assert b"evil" not in b"".join(lab.written)
