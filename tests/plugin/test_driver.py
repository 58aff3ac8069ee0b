"""What a plugin author writes, and what labkit makes of it: commands, their arguments, feeds, options."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from labkit.errors import CommandError
from labkit.plugin import Driver, DriverOptions, Feed, Frame, command, commands_of, feeds_of


class Colour(enum.StrEnum):
    RED = "red"


class Recorder:
    """A link that remembers."""

    name = "bench-1/fan"
    folder = Path("/nowhere")

    def __init__(self) -> None:
        self.given: list[tuple[str, Any]] = []

    def emit(self, feed: str, data: Any) -> None:
        self.given.append((feed, data))

    def lost(self, reason: str) -> None: ...


class FanOptions(DriverOptions):
    rpm: int = 0


class Base(Driver[FanOptions]):
    received = Feed(bytes, help="What it says.")

    @command
    def stop(self) -> None:
        """Stop it.

        More, which is not the help.
        """

    @command
    def overridden(self) -> int:
        return 1


class Fan(Base):
    kind = "fan"
    state = Feed(dict[str, int])

    @command(panel=True, timeout=2.5)
    def turn(self, rpm: int, seconds: float = 1.0, *, mode: Literal["soft", "hard"] = "soft") -> int:
        """Turn it."""
        return rpm

    @command
    def overridden(self) -> int:
        return 2

    @command
    def paint(self, colour: str, raw: bytes = b"\xff", *, on: bool = False) -> Iterator[None]:
        yield

    def not_a_command(self) -> None: ...


def bind(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return commands_of(Fan)[name].bind(list(args), kwargs)


def test_commands_come_in_order_base_classes_first() -> None:
    assert list(commands_of(Fan)) == ["stop", "overridden", "turn", "paint"]
    assert commands_of(Fan)["overridden"].function(None) == 2
    assert list(commands_of(Base)) == ["stop", "overridden"]


def test_command_knows_its_help_panel_and_timeout() -> None:
    turn, stop = commands_of(Fan)["turn"], commands_of(Fan)["stop"]
    assert (turn.help, turn.panel, turn.timeout) == ("Turn it.", True, 2.5)
    assert (stop.help, stop.panel, stop.timeout) == ("Stop it.", False, None)
    assert "rpm: " in turn.usage
    assert "self" not in turn.usage


def test_arguments_are_bound_by_place_and_name() -> None:
    assert bind("turn", 5) == {"rpm": 5}
    assert bind("turn", 5, 2) == {"rpm": 5, "seconds": 2}
    assert bind("turn", seconds=0.5, rpm=1, mode="hard") == {"rpm": 1, "seconds": 0.5, "mode": "hard"}
    assert bind("stop") == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "what"),
    [
        ((), {}, "rpm"),
        (("5",), {}, "rpm"),
        ((5.5,), {}, "rpm"),
        ((True,), {}, "rpm"),
        ((5, "x"), {}, "seconds"),
        ((5,), {"mode": "wild"}, "mode"),
        ((5,), {"speed": 1}, "speed"),
        ((1, 2.0, "soft"), {}, "positional"),
        ((1,), {"rpm": 1}, "rpm"),
        ((), {"self": 1, "rpm": 1}, "self"),
    ],
)
def test_wrong_arguments_are_named_with_what_the_command_takes(args: Any, kwargs: Any, what: str) -> None:
    with pytest.raises(CommandError) as error:
        bind("turn", *args, **kwargs)
    assert what in str(error.value)
    assert "It takes (" in str(error.value)


def test_bytes_and_text_are_not_each_other() -> None:
    assert bind("paint", "red", b"x", on=True) == {"colour": "red", "raw": b"x", "on": True}
    with pytest.raises(CommandError, match="colour"):
        bind("paint", b"red")
    with pytest.raises(CommandError, match="raw"):
        bind("paint", "red", "x")


def test_schema_describes_the_arguments() -> None:
    schema = commands_of(Fan)["turn"].schema()
    assert list(schema["properties"]) == ["rpm", "seconds", "mode"]
    assert schema["properties"]["rpm"]["type"] == "integer"
    assert schema["required"] == ["rpm"]


def test_feeds_are_found_and_emit_through_the_link() -> None:
    link = Recorder()
    fan = Fan(FanOptions(), link)
    assert list(feeds_of(Fan)) == ["received", "state"]
    fan.received.emit(b"abc")
    fan.received.emit(bytearray(b"def"))
    fan.received.emit(b"")
    fan.state.emit({"rpm": 5})
    assert link.given == [("received", b"abc"), ("received", b"def"), ("state", {"rpm": 5})]
    assert all(type(data) is bytes for _, data in link.given[:2])


def test_feed_refuses_what_is_of_another_type() -> None:
    fan = Fan(FanOptions(), Recorder())
    with pytest.raises(TypeError, match="'received' takes bytes, not str"):
        fan.received.emit("text")
    with pytest.raises(ValidationError):
        fan.state.emit({"rpm": "fast"})


def test_driver_knows_the_options_that_its_class_names() -> None:
    assert Fan.Options is FanOptions
    assert Base.Options is FanOptions
    assert Driver.Options is DriverOptions


def test_what_a_driver_has_to_bring_is_named() -> None:
    fan = Fan(FanOptions(), Recorder())
    for method in ("open", "close", "make_safe", "interrupt"):
        with pytest.raises(NotImplementedError, match=rf"Fan\.{method}"):
            getattr(fan, method)()
    assert repr(fan) == "<Fan bench-1/fan>"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"data": "text"}, "data must be bytes"),
        ({"captured": float("nan")}, "captured must be UTC seconds"),
        ({"captured": None}, "captured must be UTC seconds"),
        ({"width": 640.0}, "width and height must be whole numbers"),
        ({"height": 0}, "width and height must be whole numbers"),
    ],
)
def test_frame_that_is_none_is_refused_where_it_is_made(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(TypeError, match=named):
        Frame(**{"data": b"\xff\xd8", "captured": 1.0, "width": 640, "height": 480, **wrong})
