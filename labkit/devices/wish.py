"""Wish: which bench a session is to get, as the lab's `@weblab.reserve` chooses it. Used by labs and by the start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.errors import BadRequestError, BenchUnavailableError, WebLabError
from labkit.store.reservations import BenchView


class WishError(WebLabError, TypeError):
    """What `@weblab.reserve` gave is no wish; the session is not started."""


@dataclass(frozen=True)
class Wish:
    """A bench by its name, or any with all of these features: `Wish(features=["camera"])`. Both together narrow it."""

    bench: str = ""
    features: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.bench, str):
            raise WishError(f"Wish(bench={self.bench!r}): the name of a bench is text.")
        if self.bench == "-":
            raise WishError(
                "'-' names no bench. Where a lab acquires its benches by itself, set LABKIT_ACQUIRE to False."
            )
        if not isinstance(self.features, (str, bytes)) and isinstance(self.features, Iterable):
            object.__setattr__(self, "features", tuple(self.features))  # a generator gives its words only once
        if not isinstance(self.features, tuple) or not all(isinstance(feature, str) for feature in self.features):
            raise WishError(f'Wish(features={self.features!r}): features are a list of text, ["camera"].')
        odd = next((word for word in (self.bench, *self.features) if word != "".join(word.split())), None)
        if odd is not None:
            raise WishError(f"{odd!r} names no bench and no feature: such names have no spaces in them.")

    @property
    def text(self) -> str:
        """What is wished for, in words."""
        word = "feature" if len(self.features) == 1 else "features"
        featured = f"with the {word} {', '.join(map(repr, self.features))}" if self.features else ""
        return " ".join(part for part in (self.bench, featured) if part)


def read_wish(given: Any) -> Wish:
    """What `@weblab.reserve` returned, as a wish. Errors: `WishError`."""
    if isinstance(given, Wish):
        return given
    if given is None or isinstance(given, str):
        return Wish(bench=given or "")
    raise WishError(
        f"@weblab.reserve returned {given!r}. It must return None (any bench), the name of a bench, or "
        'labkit.Wish(bench="...", features=["..."]).'
    )


def no_bench(wish: Wish) -> str:
    """The sentence where there is no bench that could be refused."""
    return f"There is no bench {wish.text or 'to reserve'}. Declare one in devices/, and start `labkit loop`."


def never_fits(wish: Wish, known: Sequence[BenchView]) -> WebLabError:
    """The error for a wish that none of the benches fits, free or not.

    Where benches are known it is a request that makes no sense, and nothing is wrong with the lab; else it may be true
    in a minute.
    """
    if not known:
        return BenchUnavailableError(no_bench(wish))
    there = "; ".join(f"{bench.name} ({', '.join(bench.features) or 'no features'})" for bench in known)
    return BadRequestError("reserve", f"There is no bench {wish.text}. There are: {there}.")
