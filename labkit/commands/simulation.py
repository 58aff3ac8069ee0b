"""`--simulate`: the twins of all devices in place of the hardware. Used by `run`, `loop`, and where a lab is found."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from labkit.lab import Lab

SIMULATE = "LABKIT_SIMULATE"


def ask_for_twins(asked: bool) -> None:
    """For this process, which has not looked for its lab yet, and for its children."""
    if asked:
        os.environ[SIMULATE] = "1"


simulate_option = click.option(
    "--simulate", is_flag=True, is_eager=True, expose_value=False, callback=lambda _, __, value: ask_for_twins(value),
    help="Use the simulated twin of every device.",
)  # fmt: skip


def simulate_where_asked(lab: Lab, environment: Mapping[str, str]) -> None:
    """`--simulate` and LABKIT_SIMULATE stand above an app's own config. Before the lab's devices are opened."""
    from labkit.settings import read_settings

    if read_settings({SIMULATE: environment.get(SIMULATE)}).simulate and not lab.settings.simulate:
        lab.settings = dataclasses.replace(lab.settings, simulate=True)
        del lab.catalog  # the one with the hardware's own drivers
