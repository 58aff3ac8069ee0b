"""What a declaration of a GPIO device may say, and how it is told where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.devices.declaration import check_declarations
from labkit.devices.plugins import Plugins
from labkit_plugins.gpio import Gpio, GpioOptions


def problems(folder: Path, declared: str) -> list[str]:
    """What is wrong with a device `leds`, from behind the name of its file."""
    devices = folder / "devices"
    devices.mkdir()
    (devices / "bench-1.toml").write_text(f'[leds]\ndriver = "gpio"\n{declared}\n')
    found = check_declarations(devices, Plugins(drivers={"gpio": Gpio})).problems
    return [str(problem).removeprefix("devices/bench-1.toml:") for problem in found]


@pytest.mark.parametrize(
    "declared",
    [
        {"chip": "pinctrl-rp1", "lines": {"red": 17}},
        {"chip": "/dev/gpiochip0", "lines": {"red": {"line": 17}}, "safe": {"red": 1}},
        {"simulate": True, "lines": {"red": 17}},
        {"chip": "x", "lines": {"b": {"line": 1, "direction": "in", "pull": "up", "debounce": 20, "edges": "rising"}}},
        {"chip": "x", "lines": {"b": {"line": 1, "drive": "open-drain", "active_low": True, "initial": 1}}},
        {"chip": "x", "lines": {f"line-{number}": number for number in range(64)}},
    ],
)
def test_good_declarations_pass(declared: dict[str, Any]) -> None:
    GpioOptions.model_validate(declared)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ('chip = "x"', "1: [leds] lines: missing key; it has to be given."),
        ('chip = "x"\nlines = {}', "4: [leds] lines: must have 1 or more items, not {}."),
        ("lines = { red = 17 }", '1: [leds] say which chip: chip = "its label", or simulate = true.'),
        ('chp = "x"\nlines = { red = 17 }', "3: [leds] chp: unknown key. Did you mean chip?"),
        (
            'chip = "x"\nlines = { red = 17, green = 27 }\nsafe = { red = 0, gren = 1 }',
            "5: [leds] safe.gren: there is no such line. Did you mean green?",
        ),
        (
            'chip = "x"\nlines = { red = 17, green = 27 }\nsafe = { motor = 1 }',
            "5: [leds] safe.motor: there is no such line. Known here: red, green.",
        ),
        (
            'chip = "x"\n[leds.lines]\nred = 17\nbutton = { line = 22, direction = "in" }\n[leds.safe]\nbutton = 0',
            "8: [leds] safe.button: is an input; only outputs have a safe level.",
        ),
        ('chip = "x"\nlines = { red = 17 }\nsafe = { red = 2 }', "5: [leds] safe.red: must be 0 or 1, not 2."),
        (
            'chip = "x"\nlines = { red = 17, green = 17 }',
            "4: [leds] lines.green: is the same line of the chip as 'red'.",
        ),
        (
            'chip = "x"\nlines = { Red = 17 }',
            "4: [leds] lines.Red: a line's name has small letters, digits, '-' and '_', begins with a letter or "
            'digit, and has at most 40 characters (it is "Red").',
        ),
        (
            'chip = "x"\nlines = { red = "17" }',
            '4: [leds] lines.red: must be the number of a line, or a table such as { line = 17 } (it is "17").',
        ),
        (
            'chip = "x"\nlines = { red = true }',
            "4: [leds] lines.red: must be the number of a line, or a table such as { line = 17 } (it is true).",
        ),
        ('chip = "x"\nlines = { red = -1 }', "4: [leds] lines.red: must be at least 0, not -1."),
        ('chip = "x"\nlines = { red = { lin = 17 } }', "4: [leds] lines.red.lin: unknown key. Did you mean line?"),
        (
            'chip = "x"\nlines = { red = { line = 17, direction = "inn" } }',
            "4: [leds] lines.red.direction: must be 'in' or 'out', not \"inn\". Did you mean in?",
        ),
        (
            'chip = "x"\nlines = { b = { line = 1, direction = "in", initial = 1 } }',
            "4: [leds] lines.b.initial: is for outputs; this line is an input.",
        ),
        (
            'chip = "x"\nlines = { b = { line = 1, debounce = 20 } }',
            '4: [leds] lines.b.debounce: is for inputs; say direction = "in" too.',
        ),
        (
            'chip = "x"\nlines = { b = { line = 1, direction = "in", debounce = 0.5 } }',
            "4: [leds] lines.b.debounce: must be a whole number, not 0.5.",
        ),
    ],
)
def test_mistake_is_told_at_its_key(declared: str, expected: str, tmp_path: Path) -> None:
    assert problems(tmp_path, declared) == [expected]


def test_all_mistakes_that_lie_between_keys_are_told_at_once(tmp_path: Path) -> None:
    declared = 'lines = { red = 1, blue = 1, stop = { line = 2, direction = "in" } }\nsafe = { stop = 1, bleu = 1 }'
    assert problems(tmp_path, declared) == [
        '1: [leds] say which chip: chip = "its label", or simulate = true.',
        "3: [leds] lines.blue: is the same line of the chip as 'red'.",
        "4: [leds] safe.stop: is an input; only outputs have a safe level.",
        "4: [leds] safe.bleu: there is no such line. Did you mean blue?",
    ]


def test_outputs_are_safe_at_0_and_begin_at_their_safe_level() -> None:
    lines = {"red": 1, "fan": {"line": 2, "initial": 0}, "lamp": 3, "button": {"line": 4, "direction": "in"}}
    options = GpioOptions.model_validate({"chip": "x", "lines": lines, "safe": {"fan": 1, "lamp": 1}})
    assert options.safe_levels == {"red": 0, "fan": 1, "lamp": 1}
    assert options.initial_levels == {"red": 0, "fan": 0, "lamp": 1}


def test_every_line_is_taken_by_its_device() -> None:
    by_label = GpioOptions.model_validate({"chip": "pinctrl-rp1", "lines": {"red": 17, "blue": {"line": 4}}})
    assert [(takes.what, takes.path) for takes in by_label.takes()] == [
        ("line 17 of chip pinctrl-rp1", ("lines", "red")),
        ("line 4 of chip pinctrl-rp1", ("lines", "blue")),
    ]


@pytest.mark.parametrize("chip", ["gpiochip0", "/dev/gpiochip0"])
def test_chip_by_number_is_doubted_and_has_one_name(chip: str) -> None:
    options = GpioOptions.model_validate({"chip": chip, "lines": {"red": 17}})
    assert [takes.what for takes in options.takes()] == ["line 17 of chip gpiochip0"]
    (doubt,) = options.doubts()
    assert doubt.path == ("chip",)
    assert "may be another one after a restart" in doubt.message


@pytest.mark.parametrize("chip", ["pinctrl-rp1", "/dev/relays"])
def test_chip_by_label_or_link_is_not_doubted(chip: str) -> None:
    assert GpioOptions.model_validate({"chip": chip, "lines": {"red": 17}}).doubts() == []


@pytest.mark.parametrize("edges", ["rising", "falling", "none"])
def test_input_whose_changes_are_not_all_told_is_doubted(edges: str) -> None:
    lines = {"red": 17, "door": {"line": 4, "direction": "in", "edges": edges}, "key": {"line": 5, "direction": "in"}}
    (doubt,) = GpioOptions.model_validate({"chip": "x", "lines": lines}).doubts()
    assert doubt.path == ("lines", "door", "edges")
    assert "only when something reads it" in doubt.message


def test_every_option_has_a_line_of_help() -> None:
    schema = GpioOptions.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert [name for name, key in model["properties"].items() if not key.get("description")] == []


def test_schema_for_editors_knows_both_ways_to_write_a_line() -> None:
    line = GpioOptions.model_json_schema()["properties"]["lines"]["additionalProperties"]
    assert line == {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/LineOptions"}]}
