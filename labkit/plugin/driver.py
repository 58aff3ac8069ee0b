"""Driver, command, Feed: what a plugin author writes. Everything else about a device comes from this one class.

Used by the bundled drivers exactly as by anybody's. What runs a driver (threads, fences, deadlines, the store) is not
here: the host gives each driver a `DeviceLink` and calls its methods on the device's own thread.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from labkit.errors import CommandError
from labkit.plugin.found import Found
from labkit.plugin.frame import Frame
from labkit.plugin.options import DriverOptions

O = TypeVar("O", bound=DriverOptions)
F = TypeVar("F", bound=Callable[..., Any])

_COMMAND = "__labkit_command__"


class DeviceLink(Protocol):
    """What the host gives to a driver. All methods may be called from any thread and never block."""

    name: str
    """Full name, `bench/device`."""
    folder: Path
    """A private folder of this device for files such as a twin's pty; it exists, and its path is short and stable."""

    def emit(self, feed: str, data: Any) -> None:
        """Hand on what the device gave; bytes of one feed keep their order."""

    def lost(self, reason: str) -> None:
        """Say that the device has gone (unplugged): it becomes offline, is closed, and is opened again when back."""

    def watched(self, feed: str) -> bool:
        """Whether anybody looks at a feed of frames now, as far as is known. `Driver.watched` hears of changes."""


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """One command of a driver class: what may be called, by whom, and with what."""

    name: str
    panel: bool
    timeout: float | None
    help: str
    function: Callable[..., Any]

    def bind(self, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Check arguments against the method's annotations. Errors: `CommandError` that names each wrong one."""
        given = dict(zip(self._names, args, strict=False)) | kwargs
        if len(given) != len(args) + len(kwargs) or given.keys() != self._names.keys():
            given = self._bound(args, kwargs)  # it is slower, and knows defaults, and what is wrong
        try:
            model = self._model.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_complaint(e)}" for e in error.errors())
            raise CommandError(f"Command '{self.name}': {wrong}. It takes {self.usage}.") from None
        return {name: getattr(model, name) for name in given}

    def _bound(self, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise CommandError(f"Command '{self.name}': {error}. It takes {self.usage}.") from None
        return dict(list(bound.arguments.items())[1:])

    @property
    def usage(self) -> str:
        return str(self._signature).replace("(self, ", "(").replace("(self)", "()")

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments, for the page, the CLI and documentation. Each caller's own."""
        return copy.deepcopy(self._schema)

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return dict(self._model.model_json_schema())

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def _names(self) -> dict[str, None]:
        """The arguments that may be given by place or by name, in order."""
        parameters = list(self._signature.parameters.values())[1:]
        return {one.name: None for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD}

    @cached_property
    def _model(self) -> Any:
        fields: dict[str, Any] = {}
        hints = inspect.get_annotations(self.function, eval_str=True)
        for parameter in list(self._signature.parameters.values())[1:]:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, strict=True)
        return create_model(f"{self.name}_arguments", __config__=config, **fields)


def _complaint(error: Any) -> str:
    if error["type"] == "bytes_type" and isinstance(error["input"], str):
        return 'must be bytes, not text: write b"..."'
    return str(error["msg"])


@overload
def command(function: F) -> F: ...
@overload
def command(*, panel: bool = False, timeout: float | None = None) -> Callable[[F], F]: ...
def command(function: F | None = None, *, panel: bool = False, timeout: float | None = None) -> F | Callable[[F], F]:
    """Make a driver's method callable through a proxy. Arguments are checked against its annotations.

    panel: the session's own browser may call it too. timeout: seconds that a call may take where the caller says
    nothing (else `LABKIT_CALL_TIMEOUT`). A command runs on the device's own thread, one at a time; one that is a
    generator function gives the thread back at each `yield`, so that others run in between, and ends by `return`.
    """

    def mark(method: F) -> F:
        setattr(method, _COMMAND, {"panel": panel, "timeout": timeout})
        return method

    return mark(function) if function is not None else mark


class Feed:
    """What a device gives without being asked. A class attribute of a driver: `received = Feed(bytes)`.

    `bytes`: a stream, kept in order and resumed by offset. `Frame`: pictures, the newest only. Any other type: states,
    each checked against it. In the driver: `self.received.emit(data)`, from any thread; it never blocks.
    """

    def __init__(self, type: Any, *, help: str = ""):
        self.type = type
        self.help = help
        self.name = ""
        self._adapter = None if type in (bytes, Frame) else TypeAdapter(type)

    @property
    def sort(self) -> str:
        """`bytes`, `frames` or `state`: how it travels."""
        return "bytes" if self.type is bytes else "frames" if self.type is Frame else "state"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, driver: Driver[Any] | None, owner: type | None = None) -> Any:
        return self if driver is None else BoundFeed(self, driver.link)

    def check(self, data: Any) -> Any:
        if self.type is Frame:
            if not isinstance(data, Frame):
                raise TypeError(f"Feed '{self.name}' takes a Frame, not {type(data).__name__}.")
            return data
        if self._adapter is None:
            if not isinstance(data, (bytes, bytearray)):
                raise TypeError(f"Feed '{self.name}' takes bytes, not {type(data).__name__}.")
            return bytes(data)
        return self._adapter.dump_python(self._adapter.validate_python(data), mode="json")


class BoundFeed:
    """A feed of one open device."""

    def __init__(self, feed: Feed, link: DeviceLink):
        self._feed = feed
        self._link = link

    def emit(self, data: Any) -> None:
        """Hand on what the device gave. Never blocks. Errors: TypeError, or pydantic's, where it is of another type."""
        checked = self._feed.check(data)
        if checked != b"":
            self._link.emit(self._feed.name, checked)


class Driver(Generic[O]):
    """Opens one kind of device; an instance is the open device, used by one thread at a time.

    A subclass sets `kind`, names its options (`class SerialPort(Driver[SerialOptions])`), and implements `open`,
    `close`, `make_safe` and `interrupt`. A driver's library is imported in `open()`, so that declarations can be
    checked without it.
    """

    kind: ClassVar[str] = ""
    Options: ClassVar[type[DriverOptions]] = DriverOptions
    simulated: ClassVar[type[Driver[Any]] | None] = None
    """The twin: a driver with the same options, commands and feeds and no hardware."""

    options: O
    link: DeviceLink

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in getattr(base, "__args__", ()):
                if isinstance(argument, type) and issubclass(argument, DriverOptions):
                    cls.Options = argument

    def __init__(self, options: O, link: DeviceLink):
        self.options = options
        self.link = link
        self.log = logging.getLogger(f"labkit.driver.{self.kind}")

    def open(self) -> None:
        """Open the device. Twice is fine. Errors: `DeviceOfflineError` where it is not there or busy elsewhere (it is
        tried again by itself); anything else makes it faulty."""
        raise NotImplementedError(f"{type(self).__name__}.open")

    def close(self) -> None:
        """Close the device and end what was started for it. Twice is fine; never raises for a device that has gone."""
        raise NotImplementedError(f"{type(self).__name__}.close")

    def make_safe(self) -> None:
        """Put the hardware in its harmless state and read back what was set. Must be repeatable from any state.

        Errors: `SafeStateError` with what reads back differently; the device is then faulty.
        """
        raise NotImplementedError(f"{type(self).__name__}.make_safe")

    def interrupt(self) -> None:
        """End a blocked command: called from another thread, it returns at once, and the command within 2 s.

        The command raises `InterruptedCallError`. With no command running it does nothing, and it leaves no mark on
        the next one. What else takes too long is ended by it as well: `open`, `make_safe` and `health`.
        """
        raise NotImplementedError(f"{type(self).__name__}.interrupt")

    def health(self) -> None:
        """Look whether the device works; run when it is opened and, between sessions, each LABKIT_HEALTH_INTERVAL.

        It may take seconds and must change nothing that lasts; a session that begins interrupts it. Errors:
        `DeviceOfflineError` where the device is not there, anything else makes it faulty, with the text as the reason:
        its bench is out of service until it passes. By itself it finds nothing wrong.
        """

    def watched(self, feed: str, anybody: bool) -> None:
        """Hear that somebody looks at a feed of frames now, or nobody any more: a camera captures only meanwhile.

        Called from other threads, on an open device; returns at once. By itself it does nothing.
        """

    @classmethod
    def scan(cls) -> Sequence[Found]:
        """Look for hardware of this kind on this machine, opening as little as possible; used by `devices scan`.

        Errors: anything, which is shown beside what other drivers found. By itself it finds nothing.
        """
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.link.name}>"


def commands_of(driver: type[Driver[Any]]) -> Mapping[str, CommandSpec]:
    """The commands of a driver class by name, in the order of their definition, base classes first."""
    found: dict[str, CommandSpec] = {}
    for owner in reversed(driver.__mro__):
        for name, member in vars(owner).items():
            marks = getattr(member, _COMMAND, None)
            if marks is not None:
                help_line = (inspect.getdoc(member) or "").split("\n")[0]
                found[name] = CommandSpec(name=name, help=help_line, function=member, **marks)
    return found


def feeds_of(driver: type[Driver[Any]]) -> Mapping[str, Feed]:
    """The feeds of a driver class by name."""
    found: dict[str, Feed] = {}
    for owner in reversed(driver.__mro__):
        found.update({name: member for name, member in vars(owner).items() if isinstance(member, Feed)})
    return found
