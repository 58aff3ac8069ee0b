"""Settings: defaults as the reference has them, text as well as values, every mistake at once."""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

import pytest

from labkit.errors import InvalidConfigError
from labkit.settings import SETTINGS, Settings, read_settings
from tests.reference.stated_settings import STATED

DEFAULTS = {
    **STATED,
    "LABKIT_CALL_TIMEOUT": 5,
    "LABKIT_START_TIMEOUT": 120,
    "LABKIT_TASK_STOP": 30,
    "LABKIT_DISPOSE_TIMEOUT": 60,
    "LABKIT_RELEASE_TIMEOUT": 10,
    "LABKIT_SAFE_AFTER": 10,
    "LABKIT_ACQUIRE": True,
}


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_default_is_the_references(name: str, default: Any) -> None:
    (setting,) = [setting for setting in SETTINGS if setting.name == name]
    assert setting.default == default


def test_nothing_given_means_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({setting.name: None for setting in SETTINGS}) == Settings()


def test_every_setting_has_a_name_of_its_own_and_one_line_of_help() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    for setting in SETTINGS:
        assert setting.name.startswith(("WEBLAB_", "LABKIT_"))
        assert setting.help.endswith(".")
        assert "\n" not in setting.help


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("WEBLAB_TIMEOUT", "0.5", 0.5),
        ("WEBLAB_TIMEOUT", -1, -1.0),
        ("WEBLAB_TASK_THREADS_PROCESS", "7", 7),
        ("WEBLAB_AUTOPOLL", "false", False),
        ("WEBLAB_AUTOPOLL", "No", False),
        ("WEBLAB_AUTOPOLL", 0, False),
        ("WEBLAB_NO_THREAD", "1", True),
        ("WEBLAB_NO_THREAD", " on ", True),
        ("WEBLAB_NO_THREAD", "", False),
        ("WEBLAB_USERNAME", 17, "17"),
    ],
)
def test_values_come_as_text_too(name: str, given: Any, value: Any) -> None:
    (field,) = [setting.field for setting in SETTINGS if setting.name == name]
    assert getattr(read_settings({name: given}), field) == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("WEBLAB_TIMEOUT", "soon"),
        ("WEBLAB_TIMEOUT", "nan"),
        ("WEBLAB_TIMEOUT", "inf"),
        ("WEBLAB_TIMEOUT", [1]),
        ("WEBLAB_TASK_THREADS_PROCESS", "many"),
        ("WEBLAB_TASK_THREADS_PROCESS", 2.5),
        ("WEBLAB_TASK_THREADS_PROCESS", {}),
        ("WEBLAB_TASK_THREADS_PROCESS", float("inf")),
        ("WEBLAB_AUTOPOLL", "maybe"),
        ("WEBLAB_AUTOPOLL", 2),
    ],
)
def test_wrong_value_is_named_with_what_it_must_be(name: str, given: Any) -> None:
    with pytest.raises(InvalidConfigError, match=rf"{name} is .*it must be"):
        read_settings({name: given})


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(InvalidConfigError) as error:
        read_settings({"WEBLAB_TIMEOUT": "x", "WEBLAB_AUTOPOLL": "y", "WEBLAB_CALLBACK_URL": ""})
    for name in ("WEBLAB_TIMEOUT", "WEBLAB_AUTOPOLL", "Empty URL"):
        assert name in str(error.value)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("name", ["WEBLAB_USERNAME", "WEBLAB_PASSWORD"])
@pytest.mark.parametrize("value", ["", None])
def test_credential_that_is_missing_or_empty_is_an_error(name: str, value: Any) -> None:
    settings = read_settings({"WEBLAB_USERNAME": "u", "WEBLAB_PASSWORD": "p", name: value})
    with pytest.raises(InvalidConfigError, match=f"Missing {name}"):
        settings.require_credentials()


def test_machine_is_the_host_name_unless_set() -> None:
    assert Settings().machine_name == socket.gethostname()
    assert Settings(machine="pi-3").machine_name == "pi-3"


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().timeout = 3  # type: ignore[misc]


def test_a_mistyped_setting_of_labkit_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidConfigError, match=r"LABKIT_AQUIRE is no setting\. Did you mean LABKIT_ACQUIRE\?"):
        read_settings({"LABKIT_AQUIRE": False})


def test_replicas_need_a_store_that_has_some() -> None:
    url = "redis+sentinel://10.0.0.1:26379/main/0"
    assert read_settings({"LABKIT_STORE_REPLICAS": "2", "WEBLAB_REDIS_URL": url}).store_replicas == 2
    with pytest.raises(InvalidConfigError, match="the embedded store has no replicas"):
        read_settings({"LABKIT_STORE_REPLICAS": 1})
    with pytest.raises(InvalidConfigError, match="0 or more"):
        read_settings({"LABKIT_STORE_REPLICAS": -1, "WEBLAB_REDIS_URL": url})
