"""What a class must have to be a driver. Used when plugins are registered, before any declaration names the driver.

All that can be seen without opening anything: what a driver does on its hardware is the contract test's.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from typing import Any

from labkit.plugin import CommandSpec, Driver, DriverOptions, commands_of, feeds_of

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""What kinds, benches and devices may be called: they stand in addresses, file names and on command lines."""
NAME_RULE = (
    "a name has small letters, digits, '-' and '_', begins with a letter or digit, and has at most 40 characters"
)

_OWN_METHODS = ("open", "close", "make_safe", "interrupt")


def faults_of(candidate: object) -> list[str]:
    """Return one sentence for each rule that a class breaks; empty for a good driver. Opens nothing."""
    if not (isinstance(candidate, type) and issubclass(candidate, Driver)):
        return [f"{candidate!r} is not a driver class. Derive it from labkit.plugin.Driver."]
    faults = [f"{candidate.__name__} {fault}" for fault in _class_faults(candidate)]
    if not faults and candidate.simulated is not None:
        faults = [f"{candidate.__name__}.simulated {fault}" for fault in _twin_faults(candidate, candidate.simulated)]
    return faults


def _class_faults(driver: Any) -> Iterator[str]:
    if not driver.kind:
        yield 'has no kind. Give it one, for example kind = "fan".'
    elif not isinstance(driver.kind, str) or not NAME.fullmatch(driver.kind):
        yield f"has the kind {driver.kind!r}, which can't be used: {NAME_RULE}."
    if not (isinstance(driver.Options, type) and issubclass(driver.Options, DriverOptions)):
        yield f"has options {driver.Options!r}. Derive them from labkit.plugin.DriverOptions."
    yield from _method_faults(driver)
    for spec in commands_of(driver).values():
        yield from (f"has the command {spec.name} that {fault}" for fault in _command_faults(spec))


def _method_faults(driver: type[Driver[Any]]) -> Iterator[str]:
    missing = [name for name in _OWN_METHODS if getattr(driver, name) is getattr(Driver, name)]
    if missing:
        yield f"does not implement {', '.join(f'{name}()' for name in missing)}."


def _command_faults(spec: CommandSpec) -> Iterator[str]:
    for parameter in list(inspect.signature(spec.function).parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            yield f"takes {parameter}. Name each argument: callers give them by name."
            return
    try:
        schema_of(spec)
    except Exception as error:  # an author's annotations: anything can stand there
        reason = " ".join(str(error).split())
        yield f"takes arguments which can't be described: {type(error).__name__}: {reason}."


def schema_of(spec: CommandSpec) -> dict[str, Any]:
    """Return the JSON Schema of a command's arguments. A default that JSON can't say, such as b"\\xff", is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return spec.schema()


def _twin_faults(driver: type[Driver[Any]], twin: object) -> Iterator[str]:
    if not (isinstance(twin, type) and issubclass(twin, Driver)):
        yield f"is {twin!r}, not a driver class."
        return
    yield from _method_faults(twin)
    if not issubclass(driver.Options, twin.Options):
        yield f"takes {twin.Options.__name__}; a twin takes the driver's own {driver.Options.__name__}."
    lacking = [name for name in commands_of(driver) if name not in commands_of(twin)]
    lacking += [name for name in feeds_of(driver) if name not in feeds_of(twin)]
    if lacking:
        yield f"lacks {', '.join(lacking)}; a twin has the same commands and feeds."
