"""What a lab reads of its folders: once, whoever asks first, and from however many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from labkit import WebLab
from labkit.errors import DeclarationError
from labkit.lab import Lab
from labkit.plugin import SessionEvent
from tests.toy import GUARD, wait_until

DRIVER = """
from labkit.plugin import Driver, hookimpl
from tests.test_lab import loaded

loaded()


class Fan(Driver):
    kind = "fan"

    def open(self): ...
    def close(self): ...
    def make_safe(self): ...
    def interrupt(self): ...


@hookimpl
def labkit_drivers():
    return [Fan]


@hookimpl
def labkit_session_started(event):
    loaded.heard.set()
"""


class Loading:
    """What the driver's file does while it is loaded: it is counted, and waits for the gate."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        self.times = 0
        self.gate = threading.Event()
        self.heard = threading.Event()

    def __call__(self) -> None:
        self.times += 1
        assert self.gate.wait(GUARD)


loaded = Loading()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    loaded.begin_anew()
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "fan.py").write_text(DRIVER)
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "bench-1.toml").write_text('[fan]\ndriver = "fan"\n')
    app = Flask("mylab", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="key", WEBLAB_NO_THREAD=True)
    weblab = WebLab(app)
    yield weblab.lab
    loaded.gate.set()
    weblab.close()


def asking(ask: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A thread that asks, and what it is answered."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    return thread, answers


def test_plugins_are_loaded_once_though_two_threads_ask_for_the_catalog_and_for_them(lab: Lab) -> None:
    first, catalog = asking(lambda: lab.catalog)
    wait_until(lambda: loaded.times == 1)
    second, plugins = asking(lambda: lab.plugins)
    second.join(0.2)
    loaded.gate.set()
    first.join(GUARD)
    second.join(GUARD)
    assert catalog == [lab.catalog]
    assert plugins[0] is lab.plugins is lab.catalog.plugins
    assert loaded.times == 1


def test_catalog_is_read_once_though_two_threads_ask_for_it(lab: Lab) -> None:
    threads = [asking(lambda: lab.catalog) for _ in range(2)]
    wait_until(lambda: loaded.times == 1)
    loaded.gate.set()
    for thread, _ in threads:
        thread.join(GUARD)
    assert threads[0][1][0] is threads[1][1][0] is lab.catalog
    assert loaded.times == 1


def test_announcing_does_not_wait_for_the_plugins_to_be_loaded(lab: Lab) -> None:
    lab.announce(SessionEvent(at=1.0, session="3f9a", username="ada", benches=("bench-1",)))
    wait_until(lambda: loaded.times == 1)  # on a thread of their own: else this line would never be reached
    assert not loaded.heard.is_set()
    loaded.gate.set()
    assert loaded.heard.wait(GUARD)


def test_catalog_that_was_dropped_is_read_again_with_the_same_plugins(lab: Lab) -> None:
    loaded.gate.set()
    before = lab.catalog
    del lab.catalog
    assert lab.catalog is not before
    assert lab.catalog.plugins is before.plugins


def test_declarations_are_read_again_and_mistakes_leave_the_old_ones(lab: Lab) -> None:
    loaded.gate.set()
    before = lab.catalog
    bench = lab.devices_folder / "bench-1.toml"
    bench.write_text('[fan]\ndriver = "fna"\n')
    with pytest.raises(DeclarationError):
        lab.read_declarations_again()
    assert lab.catalog is before
    bench.write_text("")
    assert lab.read_declarations_again() is lab.catalog
    assert (list(lab.catalog.benches["bench-1"].devices), loaded.times) == ([], 1)
