"""Tasks: background functions of a lab, each a part of a session. `labkit` gives these names to labs."""

from labkit.tasks.execution import TaskWork
from labkit.tasks.function import TaskFunction
from labkit.tasks.registry import Tasks
from labkit.tasks.services import TaskServices
from labkit.tasks.task import WebLabTask, current_task, current_task_stopping

__all__ = [
    "TaskFunction",
    "TaskServices",
    "TaskWork",
    "Tasks",
    "WebLabTask",
    "current_task",
    "current_task_stopping",
]
