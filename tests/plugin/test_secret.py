"""Secrets: what a declaration may say, where the text is read, and that nothing but `reveal()` gives it."""

from __future__ import annotations

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from labkit.errors import MissingSecretError, WebLabError
from labkit.plugin import DriverOptions, Secret
from labkit.plugin.secret import FOLDER

TEXT = "hunter2-hunter2"


class Options(DriverOptions):
    password: Secret | None = None
    keys: dict[str, Secret] = Field(default_factory=dict)


def declared(value: Any, folder: Path | None = None) -> Secret:
    context = {FOLDER: folder} if folder is not None else None
    password = Options.model_validate({"password": value}, context=context).password
    assert password is not None
    return password


def test_text_of_an_environment_variable_is_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DOOR", TEXT)
    assert declared({"env": "LAB_DOOR"}).reveal() == TEXT


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_file_lies_beside_the_declaration_and_its_last_newline_is_no_part_of_it(tmp_path: Path, end: str) -> None:
    (tmp_path / "door").write_bytes(f" {TEXT} {end}".encode())
    assert declared({"file": "door"}, tmp_path).reveal() == f" {TEXT} "
    assert declared({"file": str(tmp_path / "door")}).reveal() == f" {TEXT} "


def test_plain_text_is_a_secret_too_and_says_that_it_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DOOR", TEXT)
    assert (declared(TEXT).reveal(), declared(TEXT).plain) == (TEXT, True)
    assert not declared({"env": "LAB_DOOR"}).plain


def test_nothing_shows_the_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "door").write_text(TEXT)
    options = Options.model_validate({"password": TEXT, "keys": {"a": {"file": "door"}}}, context={FOLDER: tmp_path})
    logging.getLogger("test").warning("options=%s password=%s", options, options.password)
    shown = [repr(options), str(options), f"{options.password}", options.model_dump_json(), str(options.model_dump())]
    shown += [caplog.text, repr(copy.deepcopy(options))]
    assert [text for text in shown if TEXT in text] == []
    assert "***" in caplog.text


def test_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(Secret(TEXT))


def test_two_are_equal_only_where_source_and_text_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "door"
    file.write_text("one")
    before, again = Secret(file=file), Secret(file=file)
    assert before == again
    assert hash(before) == hash(again)
    file.write_text("two")
    assert Secret(file=file) != before
    monkeypatch.setenv("LAB_DOOR", "one")
    assert Secret(env="LAB_DOOR") != Secret("one")
    assert Secret("one") != Secret("two")
    assert Secret("é") == Secret("é")
    assert Secret("one") != "one"
    assert Secret("a\udcff") != Secret("a")  # bytes of an environment variable that are not UTF-8
    assert Secret("a\udcff") == Secret("a\udcff")
    monkeypatch.delenv("LAB_DOOR")
    assert Secret(env="LAB_DOOR") == Secret(env="LAB_DOOR")


def test_changed_secret_makes_options_another(tmp_path: Path) -> None:
    (tmp_path / "door").write_text("one")
    before = Options(password=declared({"file": "door"}, tmp_path))
    (tmp_path / "door").write_text("two")
    assert Options(password=declared({"file": "door"}, tmp_path)) != before


def test_missing_one_says_so_and_is_read_when_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DOOR", raising=False)
    secret = declared({"env": "LAB_DOOR"})
    sentence = (
        "the environment variable LAB_DOOR is not set. "
        "Set it for the process that opens the device, for example: export LAB_DOOR=..."
    )
    assert secret.trouble == sentence
    with pytest.raises(MissingSecretError, match=r"^The environment variable LAB_DOOR is not set\. Set it") as refused:
        secret.reveal()
    assert isinstance(refused.value, WebLabError)
    assert isinstance(refused.value, LookupError)
    monkeypatch.setenv("LAB_DOOR", TEXT)
    assert (secret.reveal(), secret.trouble) == (TEXT, "")


def test_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DOOR", "")
    assert declared({"env": "LAB_DOOR"}).trouble.startswith("the environment variable LAB_DOOR is empty.")


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (None, "there is no file {}. Write the secret into it, readable for the lab's user only."),
        (b"\n", "the file {} is empty. Write the secret into it."),
        (b"\xe4", "the file {} is not UTF-8 text. Save it as UTF-8."),
    ],
)
def test_file_without_a_secret_says_what_to_do(tmp_path: Path, content: bytes | None, trouble: str) -> None:
    file = tmp_path / "door"
    if content is not None:
        file.write_bytes(content)
    assert declared({"file": "door"}, tmp_path).trouble == trouble.format(file)


def test_file_that_is_a_folder_says_what_to_do(tmp_path: Path) -> None:
    assert declared({"file": "."}, tmp_path).trouble == (
        f"the file {tmp_path} can't be read: Is a directory. The user who runs the lab must be able to."
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1234567, "must be a secret"),
        ("", "must be a secret"),
        ([TEXT], "must be a secret"),
        ({}, "say exactly one of env and file"),
        ({"env": "A", "file": "b"}, "say exactly one of env and file"),
        ({"envv": TEXT}, "unknown key"),
        ({"env": 3}, "must be text in quotes"),
        ({"file": ""}, "must be text in quotes"),
    ],
)
def test_wrong_declarations_are_refused_without_being_repeated(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        declared(value)
    assert TEXT not in str(refused.value)
    assert "1234567" not in str(refused.value)


def test_another_mistake_does_not_show_a_secret_beside_it() -> None:
    with pytest.raises(ValidationError) as refused:
        Options.model_validate({"password": TEXT, "simulate": "maybe", "tilte": TEXT})
    assert TEXT not in str(refused.value)


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "env": "b"}])
def test_exactly_one_source_is_given(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="exactly one of text, env and file"):
        Secret(**arguments)
