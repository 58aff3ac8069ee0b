"""What the types of a model say about its keys. Used where a declaration is compared with its driver's options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from labkit.plugin import Secret


def types_in(annotations: Iterable[Any]) -> Iterator[type]:
    """The models and secrets that annotations name, also inside of unions, lists and dicts."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, (BaseModel, Secret)):
            yield annotation
        else:
            yield from types_in(get_args(annotation))


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that a declaration has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def keys_at(model: type[BaseModel], path: Iterable[str | int]) -> set[str]:
    """The keys that the table at `path` may have, found through annotations, with lists and dicts on the way."""
    annotations: list[Any] = [model]
    for part in path:
        inner = [keys[str(part)] for keys in map(fields, _models(annotations)) if part in keys]
        annotations = [field.annotation for field in inner] or annotations
    return {key for found in _models(annotations) for key in fields(found)}


def _models(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    return (found for found in types_in(annotations) if issubclass(found, BaseModel))
