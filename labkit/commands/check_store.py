"""What `labkit check` finds of the store that the lab names: whether a lab can rely on it. Leaves nothing there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.devices.problems import Problem
    from labkit.settings import Settings

SETTING = "WEBLAB_REDIS_URL"


def about_the_store(settings: Settings | None) -> Iterator[Problem]:
    """Try the store; one that does not answer from here is no mistake of the lab's, and only told.

    Blocks some seconds at most. settings: None where the lab can't be loaded. An embedded store is not started for it.
    """
    from labkit.devices.problems import Problem, Severity
    from labkit.errors import InvalidConfigError, StoreUnavailableError, StoreUnfitError
    from labkit.store.address import shown
    from labkit.store.connection import Store
    from labkit.store.trial import try_store

    if settings is None or not settings.redis_url:
        return
    problem, severity = "", Severity.PROBLEM
    try:
        store = Store(settings.redis_url, settings.redis_base, replicas=settings.store_replicas)
        with contextlib.closing(store):
            try_store(store)
    except (StoreUnfitError, InvalidConfigError) as error:
        problem = str(error)
    except StoreUnavailableError as error:
        problem = f"the store at {shown(settings.redis_url)} could not be tried. {error}"
        severity = Severity.WARNING
    if problem:
        yield Problem(file=SETTING, line=0, column=0, where="", message=problem, severity=severity)
