"""Options of a driver: what every device has, what is refused, and USB matches."""

from __future__ import annotations

from typing import Self

import pytest
from pydantic import Field, ValidationError, model_validator

from labkit.plugin import DriverOptions, OptionError, UsbMatch


class FanOptions(DriverOptions):
    rpm: int = Field(1000, ge=0)


def test_every_device_has_the_common_keys() -> None:
    options = FanOptions.model_validate({"title": "Fan", "simulate": True, "safe": {"rpm": 0}, "rpm": 5})
    assert (options.title, options.simulate, options.safe, options.rpm) == ("Fan", True, {"rpm": 0}, 5)
    assert (DriverOptions().title, DriverOptions().simulate, DriverOptions().safe) == ("", False, None)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ValidationError) as error:
        FanOptions.model_validate({"rpm": -1, "speeed": 2, "simulate": "perhaps"})
    assert {found["loc"][0] for found in error.value.errors()} == {"rpm", "speeed", "simulate"}


def test_options_do_not_change() -> None:
    with pytest.raises(ValidationError):
        FanOptions().rpm = 3


@pytest.mark.parametrize("given", ["2341:0043", "1A86:7523"])
def test_usb_id_is_a_pair_of_hex_numbers(given: str) -> None:
    assert UsbMatch(usb_id=given).usb_id == given.lower()


@pytest.mark.parametrize("given", ["2341", "2341-0043", "0x2341:0x0043", "2341:004", "zzzz:0043", "2341:0043\n", ""])
def test_usb_id_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="vendor:product"):
        UsbMatch(usb_id=given)


def test_every_common_key_has_a_line_of_help() -> None:
    for model in (DriverOptions, UsbMatch):
        assert all(field.description for field in model.model_fields.values())


class RelaysOptions(DriverOptions):
    relays: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _safe_has_relays_only(self) -> Self:
        OptionError.raise_all(
            OptionError("there is no such relay", path=("safe", name), known=self.relays)
            for name in self.safe or {}
            if name not in self.relays
        )
        return self


def test_validator_that_finds_nothing_raises_nothing() -> None:
    RelaysOptions.model_validate({"relays": {"pump": 1}, "safe": {"pump": 0}})


def test_validator_raises_all_that_it_finds_with_their_keys() -> None:
    with pytest.raises(ValidationError, match="there is no such relay") as refused:
        RelaysOptions.model_validate({"relays": {"pump": 1}, "safe": {"pmp": 0, "fan": 0}})
    (found,) = refused.value.errors()
    error = found["ctx"]["error"]
    assert isinstance(error, OptionError)
    assert [one.path for one in (error, *error.others)] == [("safe", "pmp"), ("safe", "fan")]
    assert error.known == ("pump",)
