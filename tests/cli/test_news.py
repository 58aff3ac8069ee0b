"""What brings the main thread of `labkit run` back: no signal is lost, whenever it comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from labkit.cli.news import News


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def just_before(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a Ctrl-C that comes when it is called."""

    def called(*values: Any, **options: Any) -> Any:
        interrupt()
        return function(*values, **options)

    return called


@pytest.mark.parametrize("moment", ["set_wakeup_fd", "signal"])
def test_ctrl_c_while_signals_begin_to_be_heard_is_heard_or_ends_the_program(
    monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    news, ended = News(), False
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    descriptor = signal.set_wakeup_fd(-1)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(signal, moment, just_before(getattr(signal, moment)))
            with news.heard():
                patched.undo()
                ended = news.wait(0.0)
    except KeyboardInterrupt:
        ended = True
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGINT, before)
    assert ended


def test_ctrl_c_is_heard_and_nothing_else_happens() -> None:
    news = News()
    with news.heard():
        assert not news.wait(0.0)
        interrupt()
        assert news.wait(30.0)
        assert not news.wait(0.0)
        news.wake()
        assert not news.wait(30.0)
