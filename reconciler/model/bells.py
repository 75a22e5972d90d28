"""Whether hosts say by themselves that something has changed."""

import enum
from dataclasses import dataclass


class BellUse(enum.Enum):
    """Whether hosts are asked to ring."""

    AUTO = "auto"  # wherever they can
    OFF = "off"


class BellState(enum.Enum):
    """How it comes that a host is looked at."""

    RINGS = "rings"  # when it says so, and regularly
    FLAPPING = "flapping"  # regularly only: it rings without end
    POLLED = "polled"  # regularly only: it has no bell


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """How the bell of one host stands."""

    state: BellState
    why: str = ""  # it does not count, for people
