"""What tasks need of their lab: the store, the process, the settings, the app's context. Made by the lab."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from labkit.context import BoundSession
from labkit.process import LabProcess
from labkit.settings import Settings
from labkit.store.tasks import TaskStore


@dataclass(frozen=True, kw_only=True)
class TaskServices:
    """One lab as its tasks see it."""

    store: TaskStore
    process: LabProcess
    settings: Settings
    entered: Callable[[BoundSession], AbstractContextManager[object]]
    """Enters the app's context, with the session bound and `weblab_user` readable, for as long as a task runs."""
