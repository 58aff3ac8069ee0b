"""A problem as it is drawn: the caret stands under what is meant, whatever else is in the line."""

from __future__ import annotations

import pytest

from labkit.commands.drawing import WIDEST, drawn, visible
from labkit.devices.excerpt import Excerpt, excerpt
from labkit.devices.positions import Position, Span
from labkit.devices.problems import Problem, Severity


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def lines_of(text: str, meant: str, *, line: int = 9, severity: Severity = Severity.PROBLEM) -> list[str]:
    """What is drawn for a line of which some words are meant."""
    found = Excerpt(text=text, column=text.index(meant) + 1, width=len(meant))
    problem = Problem(
        file="f.toml", line=line, column=3, where="a", message="is wrong.", severity=severity, excerpt=found
    )
    return drawn(problem).split("\n")


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("before", ["", "x = 1, ", "\t", " \t  \tb\t", '"日本語", ', "é, ", "👩‍🔬 "])
def test_caret_stands_under_what_is_meant(before: str) -> None:
    from rich.cells import cell_len

    _, line, caret = lines_of(f"{before}key = 日本", "key")
    assert cell_len(line[: line.index("key")]) == caret.index("^^^")
    assert caret.strip(" |") == "^^^"


@pytest.mark.usefixtures("plain")
def test_caret_is_as_wide_as_wide_characters() -> None:
    assert lines_of("日本 = 1", "日本")[2].endswith("| ^^^^")


@pytest.mark.usefixtures("plain")
def test_numbers_of_lines_are_flush_and_the_bar_stays_where_it_is() -> None:
    for number in (1, 10, 99999):
        _, line, caret = lines_of("key = 1", "key", line=number)
        assert line.startswith(f"{number:>5} | key")
        assert line.index("|") == caret.index("|")


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("at", [0, 50, 500, 995])
def test_long_line_is_cut_around_what_is_meant(at: int) -> None:
    text = "x" * at + "key" + "y" * (1000 - at)
    _, line, caret = lines_of(text, "key")
    assert len(line) <= WIDEST + len("12345 | ")
    assert line.index("key") == caret.index("^^^")
    assert ("...x" in line, line.endswith("...")) == (at >= 500, at < 995)


@pytest.mark.usefixtures("plain")
def test_what_moves_a_terminals_cursor_is_not_shown() -> None:
    _, line, _ = lines_of("key = \x1b[2J\r", "key")
    assert line == "    9 | key = \N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}"
    assert visible("é") == "é"


@pytest.mark.usefixtures("plain")
def test_warning_says_that_it_is_one() -> None:
    assert lines_of("key", "key", severity=Severity.WARNING)[0] == "f.toml:9:3: warning: [a] is wrong."
    assert lines_of("key", "key")[0] == "f.toml:9:3: [a] is wrong."


@pytest.mark.usefixtures("plain")
def test_finding_about_a_whole_file_has_neither_line_nor_caret() -> None:
    assert drawn(Problem(file="f.toml", line=0, column=0, where="", message="is wrong.")) == "f.toml: is wrong."


def test_colours_are_there_unless_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in lines_of("key", "key")[2]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in "".join(lines_of("key", "key"))


# -- the excerpt


def test_secret_is_hidden_and_what_is_meant_beside_it_is_still_found() -> None:
    text = 'a = 1\nb = { p = "hunter2", q = 1, r = "x" }\n'
    hidden = [
        Span(start=text.index('"hunter2"'), end=text.index(", q")),
        Span(start=text.index('"x"'), end=len(text) - 3),
    ]
    found = excerpt(text, Position(line=2, column=text.split("\n")[1].index("q") + 1), hidden)
    assert found.text == "b = { p = ***, q = 1, r = *** }"
    assert found.text[found.column - 1] == "q"


def test_secret_of_several_lines_is_hidden_in_each() -> None:
    text = 'p = """one\ntwo\nthree"""\nq = 1\n'
    hidden = [Span(start=4, end=text.index("\nq"))]
    shown = [excerpt(text, Position(line=line, column=1), hidden).text for line in (1, 2, 3, 4)]
    assert shown == ["p = ***", "***", "***", "q = 1"]


@pytest.mark.parametrize("line", [1, 2, 3])
def test_place_at_the_end_of_the_text_has_an_excerpt(line: int) -> None:
    found = excerpt("ab", Position(line=line, column=9, width=5))
    assert found == Excerpt(text="ab", column=3, width=1)
