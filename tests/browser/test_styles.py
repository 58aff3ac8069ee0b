"""The page's policy allows no style that is made of text; the terminal has its looks all the same."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.harness import PretendedLab
from tests.browser.student import enter, shows

COLOURS = "\x1b[38;2;0;0;160mblue\x1b[0m \x1b[48;2;255;240;0mground\x1b[0m \x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m\r\n"
TRY = """() => {
    const style = document.head.appendChild(document.createElement("style"));
    style.textContent = "h1 { color: rgb(1, 2, 3) }";
    const heading = document.querySelector("h1");
    heading.setAttribute("style", "background-color: rgb(1, 2, 3)");
    const { color, backgroundColor } = getComputedStyle(heading);
    return [color, backgroundColor];
}"""


def look(page: Page, text: str, name: str) -> str:
    cell = page.locator(".xterm-rows span").get_by_text(text, exact=True)
    return str(cell.evaluate(f"one => getComputedStyle(one).{name}"))


def test_terminal_has_its_looks_and_the_page_no_style_made_of_text(page: Page, lab: PretendedLab) -> None:
    enter(page, lab)
    lab.say(COLOURS)
    shows(page, "blue ground red bold")
    assert look(page, "blue", "color") == "rgb(0, 0, 160)"
    assert look(page, "ground", "backgroundColor") == "rgb(255, 240, 0)"
    assert look(page, "red", "color") not in ("rgb(0, 0, 0)", look(page, "bold", "color"))
    assert int(look(page, "bold", "fontWeight")) >= 700
    assert page.locator("style").count() == 0
    screen, row = (page.locator(f".xterm-{name}").first for name in ("screen", "rows > div"))
    height = row.evaluate("one => one.getBoundingClientRect().height")
    assert 10 < height < 40
    narrow = screen.evaluate("one => one.getBoundingClientRect().width")
    page.set_viewport_size({"width": 1600, "height": 900})
    page.wait_for_function("before => document.querySelector('.xterm-screen').clientWidth > before", arg=narrow)
    light = look(page, "bold", "color")
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".xterm-rows span").get_by_text("bold", exact=True)).not_to_have_css("color", light)


def test_browser_takes_no_style_that_is_made_of_text(page: Page, lab: PretendedLab, complaints: list[str]) -> None:
    enter(page, lab)
    assert "rgb(1, 2, 3)" not in page.evaluate(TRY)
    said = [one for one in complaints if "style-src" in one]
    assert len(said) >= 2
    assert said == complaints
    complaints.clear()
