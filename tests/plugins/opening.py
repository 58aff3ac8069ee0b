"""Opens drivers for tests that have no host, and closes them at the end. For the fixtures of each driver's tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from labkit.plugin import Driver

Opened = TypeVar("Opened", bound=Driver[Any])


@contextlib.contextmanager
def opening(
    make: Callable[..., Opened], afterwards: Callable[[Opened], object] = id
) -> Iterator[Callable[..., Opened]]:
    """Gives a function that makes a driver by `make`, opens and returns it. Whatever came of that, it is closed.

    afterwards: what is done with each driver that is closed.
    """
    with contextlib.ExitStack() as closing:

        def open_it(*arguments: Any, **options: Any) -> Opened:
            driver = make(*arguments, **options)
            closing.callback(afterwards, driver)
            closing.callback(driver.close)
            driver.open()
            return driver

        yield open_it
