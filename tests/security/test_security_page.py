"""docs/security.md: every line of its tables names a test that shows it, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.markdown import rows_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAME = re.compile(r"`(test_\w+)`")


def promises() -> list[list[str]]:
    """The lines of all tables of promises."""
    tables = re.split(r"^\| Promise \| Shown by \|$", PAGE, flags=re.MULTILINE)[1:]
    return [row for table in tables for row in rows_of(re.split(r"\n\n", table)[0]) if set(row[0]) != {"-"}]


def test_every_promise_names_a_test() -> None:
    assert len(promises()) > 25
    assert [row[0] for row in promises() if not NAME.search(row[1])] == []


def test_every_test_that_the_page_names_is_there() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", tests, re.MULTILINE))
    assert set(NAME.findall(PAGE)) - there == set()


def test_every_test_of_this_folder_is_named_by_a_promise() -> None:
    """One that the page does not name would show something of which nobody reads."""
    named = set(NAME.findall(" ".join(row[1] for row in promises())))
    others = [path for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name]
    own = {name for path in others for name in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)}
    assert len(own) > 50
    assert own - named == set()
