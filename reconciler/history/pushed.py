"""
Which systems were pushed to which caches, and what is wrong with these.

In a file of the state directory: what is lost with it is pushed once more, of which
little is sent. Several processes may write it; the last one wins.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "caches.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """How one cache stands."""

    has: tuple[str, ...] = ()  # systems that it was given, of those that hosts run
    waiting: int = 0  # systems that it has yet to be given
    problem: str = ""
    since: float = 0.0  # when that began


def read(state: Path) -> dict[str, Pushed]:
    """Return what is known of each cache; nothing of a file that is damaged."""
    try:
        found = json.loads((state / FILE).read_text("utf-8"))
        return {
            name: Pushed(**{**fields, "has": tuple(fields["has"])})
            for name, fields in found.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def write(state: Path, known: Mapping[str, Pushed]) -> None:
    """Keep what is known, whole or not at all. Raises OSError."""
    text = json.dumps({name: asdict(one) for name, one in sorted(known.items())})
    handle, name = tempfile.mkstemp(dir=state, prefix=f".{FILE}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(state / FILE)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
