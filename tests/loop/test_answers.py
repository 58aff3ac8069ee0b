"""How failures of drivers are put into words."""

from __future__ import annotations

import json
from collections.abc import Callable

from labkit.errors import SafeStateError
from labkit.loop.answers import described, text_of


def raised(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_bug_of_a_driver_names_its_file_and_line() -> None:
    def work() -> None:
        _ = 1 / 0

    line = work.__code__.co_firstlineno + 1
    assert described(raised(work)) == f"ZeroDivisionError: division by zero (loop/test_answers.py:{line})"


def test_a_bug_that_shows_in_a_library_names_the_line_of_the_driver() -> None:
    def work() -> None:
        json.loads("{")

    assert f"(loop/test_answers.py:{work.__code__.co_firstlineno + 1})" in described(raised(work))


def test_what_a_driver_says_itself_needs_no_place() -> None:
    def work() -> None:
        raise SafeStateError("The fan still turns.")

    assert described(raised(work)) == "SafeStateError: The fan still turns."


class Broken(Exception):
    def __str__(self) -> str:
        raise SystemExit("and a library calls exit")


def test_an_error_that_can_not_be_read_is_put_into_words_as_well() -> None:
    def work() -> None:
        raise Broken

    error = raised(work)
    assert text_of(error) == "its error can't be read: str() of it raises"
    assert described(error).startswith("Broken: its error can't be read")
