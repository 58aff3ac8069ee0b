"""Secret: an option that nobody may read in a log, a page or an error. For plugin authors, and the declaration reader.

A driver writes `password: Secret | None = None` in its options and `self.options.password.reveal()` where it logs in.
A declaration says where the text is kept: `{ env = "NAME" }`, or `{ file = "path" }`, relative to the declaration's
folder. It may also give the text itself; then `labkit check` warns of it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from labkit.errors import MissingSecretError
from labkit.plugin.options import OptionError

FOLDER = "folder"
"""Key in pydantic's validation context: the folder that the paths of secrets are relative to."""

HIDDEN = "***"

_SOURCES = {"env": "Environment variable that has the secret.", "file": "File that has the secret."}
_WAYS = 'write { env = "NAME" } or { file = "path" }'


class Secret:
    """A text that only `reveal()` gives. Neither repr, str, JSON nor pickle of it, or of options that have it, does.

    It is read once, when it is made; so two of them are equal only where both the source and the text are. The text
    itself, or the name of an environment variable, or the path of a file, without the newlines at its end.
    """

    __slots__ = ("_env", "_file", "_text", "_trouble")

    def __init__(self, text: str | None = None, *, env: str | None = None, file: Path | None = None):
        if sum(source is not None for source in (text, env, file)) != 1:
            raise TypeError("A Secret takes exactly one of text, env and file.")
        self._env = env
        self._file = file
        self._text = text
        self._trouble = ""
        self._read()

    @property
    def plain(self) -> bool:
        """Whether the declaration holds the text itself."""
        return self._env is None and self._file is None

    @property
    def trouble(self) -> str:
        """Why there is no text, and the way out, as one sentence or more; '' where there is one."""
        return self._trouble

    def reveal(self) -> str:
        """Return the text. Errors: `MissingSecretError` where there is still none."""
        if self._trouble:
            self._read()
        if self._text is None:
            raise MissingSecretError(self._trouble[:1].upper() + self._trouble[1:])
        return self._text

    def _read(self) -> None:
        if self._env is not None:
            self._text, self._trouble = _from_environment(self._env)
        elif self._file is not None:
            self._text, self._trouble = _from_file(self._file)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if (self._env, self._file, self._text is None) != (other._env, other._file, other._text is None):
            return False
        mine, others = ((one._text or "").encode("utf-8", "surrogatepass") for one in (self, other))
        return hmac.compare_digest(mine, others)

    def __hash__(self) -> int:
        return hash((self._env, self._file))  # the text has no say: a hash can be tried out

    def __repr__(self) -> str:
        if self._env is not None:
            return f"Secret(env={self._env!r})"
        return f"Secret({HIDDEN})" if self._file is None else f"Secret(file={str(self._file)!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> Any:
        raise TypeError("A Secret can't be pickled: it would be readable then.")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    # -- as a type of an option ----------------------------------------------------------------------------------

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _declared,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: HIDDEN, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        def table(key: str) -> dict[str, Any]:
            value = {"type": "string", "minLength": 1, "description": _SOURCES[key]}
            return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}

        return {"anyOf": [table("env"), table("file"), {"type": "string", "minLength": 1}]}


def _declared(value: Any, info: ValidationInfo) -> Secret:
    """Make a secret of what a declaration says. What it says is never repeated in an error."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and value:
        return Secret(value)
    if not isinstance(value, Mapping):
        raise OptionError(f"must be a secret: {_WAYS}")
    OptionError.raise_all(
        OptionError("unknown key", path=(key,), known=_SOURCES) for key in value if key not in _SOURCES
    )
    if len(value) != 1:
        raise OptionError(f"say exactly one of env and file: {_WAYS}")
    ((key, name),) = value.items()
    if not isinstance(name, str) or not name:
        raise OptionError("must be text in quotes", path=(key,))
    if key == "env":
        return Secret(env=name)
    folder = (info.context or {}).get(FOLDER, Path())
    return Secret(file=Path(folder, name).absolute())


def _from_environment(name: str) -> tuple[str | None, str]:
    text = os.environ.get(name)
    if text:
        return text, ""
    state = "is not set" if text is None else "is empty"
    remedy = f"Set it for the process that opens the device, for example: export {name}=..."
    return None, f"the environment variable {name} {state}. {remedy}"


def _from_file(path: Path) -> tuple[str | None, str]:
    try:
        text = path.read_bytes().decode().rstrip("\r\n")
    except FileNotFoundError:
        return None, f"there is no file {path}. Write the secret into it, readable for the lab's user only."
    except OSError as error:
        return None, f"the file {path} can't be read: {error.strerror}. The user who runs the lab must be able to."
    except UnicodeDecodeError:
        return None, f"the file {path} is not UTF-8 text. Save it as UTF-8."
    if not text:
        return None, f"the file {path} is empty. Write the secret into it."
    return text, ""
