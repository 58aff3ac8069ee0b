"""The library that a driver's error says is missing, and the command that brings it. Used by the loop and by scans."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator

_OF_AN_EXTRA = re.compile(r"([\w.-]+).*\bextra == ['\"]([\w-]+)['\"]")


def remedy_for(error: BaseException) -> str:
    """The command that brings a library that is missing, where it is one of labkit's extras; else ''."""
    for one in causes(error):
        if isinstance(one, ModuleNotFoundError) and one.name:
            extra = _extra_with(one.name.partition(".")[0])
            return f'pip install "labkit[{extra}]"' if extra else ""
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; what was being handled counts only where nothing else is said."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _extra_with(package: str) -> str:
    try:
        required = importlib.metadata.requires("labkit") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source, and not installed
        return ""
    found = (match.groups() for match in map(_OF_AN_EXTRA.match, required) if match)
    return next((extra for name, extra in found if name.lower() == package.lower()), "")
