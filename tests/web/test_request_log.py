"""Lines in which session ids become their hash: also those that their author has got wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from labkit.log_text import hashed
from labkit.web.request_log import _HASHED_IDS

SESSION = "aB3_-" * 8 + "xyz"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("app_of_a_lab")
    log.addFilter(_HASHED_IDS)
    yield log
    log.removeFilter(_HASHED_IDS)


def test_id_in_the_arguments_of_a_line_is_hashed(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log.warning("asked for %s %d times", f"/callback/{SESSION}", 2)
    assert caplog.messages == [f"asked for /callback/{hashed(SESSION)} 2 times"]


def test_line_whose_words_do_not_fit_its_arguments_fails_nobody(log: logging.Logger) -> None:
    """A view of the lab that logs so has worked before it was a lab's."""
    handler = logging.NullHandler()
    log.addHandler(handler)
    log.propagate = False
    log.warning("%d seconds left", "many")
    log.warning("%s", _Unreadable())
    log.propagate = True
    log.removeHandler(handler)


class _Unreadable:
    def __str__(self) -> str:
        raise ValueError("it can't be shown")
