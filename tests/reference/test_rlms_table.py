"""The table of rlms.md and the tests agree: each promise is proven, and nothing is claimed that is not promised.

Tests are found in the source, so it makes no difference which of them were collected.
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

from tests.reference.rlms_table import SECTIONS

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
ELSEWHERE = {promise: tests for section in SECTIONS.values() for promise, tests in section.items()}


@cache
def in_source(path: Path) -> dict[str, ast.FunctionDef]:
    """The tests of a file by name."""
    if not path.is_file():
        return {}
    found = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    return {function.name: function for function in found if function.name.startswith("test_")}


def claims(function: ast.FunctionDef) -> list[str]:
    """What a test says it proves; one that is skipped, or is expected to fail, proves nothing."""
    marks = {ast.unparse(mark): mark for mark in function.decorator_list}
    if any(word in text for text in marks for word in ("skip", "xfail")):
        return []
    named = [mark for text, mark in marks.items() if isinstance(mark, ast.Call) and text.startswith("proves(")]
    return [ast.literal_eval(word) for mark in named for word in mark.args]


def claimed() -> dict[str, list[str]]:
    """Where each claim stands."""
    return {
        f"{path.name}::{name}": claims(function)
        for path in sorted(FOLDER.glob("test_rlms_*.py"))
        if path != Path(__file__)
        for name, function in in_source(path).items()
    }


def test_each_promise_is_made_once() -> None:
    made = Counter(promise for section in SECTIONS.values() for promise in section)
    assert [promise for promise, count in made.items() if count > 1] == []


def test_each_promise_has_a_test() -> None:
    proven = {promise for promises in claimed().values() for promise in promises}
    assert [promise for promise, tests in ELSEWHERE.items() if not tests and promise not in proven] == []


def test_each_test_here_proves_what_is_promised() -> None:
    wrong = {where: [word for word in promises if word not in ELSEWHERE] for where, promises in claimed().items()}
    assert {where: words for where, words in wrong.items() if words} == {}
    assert [where for where, promises in claimed().items() if not promises] == []


def test_each_test_that_is_named_exists() -> None:
    named = sorted({test for tests in ELSEWHERE.values() for test in tests})
    assert [test for test in named if test.partition("::")[2] not in in_source(ROOT / test.partition("::")[0])] == []
