"""The generations of a host's system profile, asked for in one round trip."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from reconciler.errors import FactError
from reconciler.model import HostName, StorePath
from reconciler.remote import HostReader, system_manager

DEADLINE = 30.0  # seconds

_GENERATION = re.compile(
    r"(\d{1,9}) (\d{1,12}) (/nix/store/\S{1,300}) ?(.{0,300})", re.ASCII
)
_FACT = re.compile(r"is (running|booted|default) (\S*)")
_END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One numbered system on a host."""

    number: int
    toplevel: StorePath
    made_at: float  # by the host's clock
    label: str = ""  # what NixOS calls its version
    running: bool = False
    booted: bool = False  # it is what the host booted last
    default: bool = False  # it is what the host boots next


def generations(reader: HostReader) -> list[Generation]:
    """
    Return the generations of a host, oldest first.

    Raises FactError if the answer is not understood, and whatever the reader raises.
    """
    own = resources.files(__package__).joinpath("generations.sh").read_text("utf-8")
    script = f"{system_manager.functions()}\n{own}"
    text = reader.read(script, what="generations", deadline=DEADLINE)
    return parse(text, host=reader.host)


def parse(text: str, *, host: HostName) -> list[Generation]:
    """Read the answer of the script. Raises FactError."""
    lines = text.splitlines()
    if not lines:
        return []
    facts = {match[1]: match[2] for line in lines if (match := _FACT.fullmatch(line))}
    found = [_generation(line, facts) for line in lines if line[:1].isdigit()]
    whole = [one for one in found if one is not None]
    if lines[-1] != _END or len(whole) != len(found):
        message = f"{host}: the list of its generations is not understood"
        raise FactError(message)
    return sorted(whole, key=lambda one: one.number)


def _generation(line: str, facts: dict[str, str]) -> Generation | None:
    match = _GENERATION.fullmatch(line)
    if match is None:
        return None
    number, made_at, toplevel, label = match.groups()
    return Generation(
        number=int(number),
        toplevel=StorePath(toplevel),
        made_at=float(made_at),
        label=label,
        running=facts.get("running") == toplevel,
        booted=facts.get("booted") == toplevel,
        default=facts.get("default") == number,
    )


def previous(found: Sequence[Generation]) -> Generation | None:
    """
    Return the generation to go back to; *found* are all, oldest first.

    The last one, up to what the host boots by default, that is not what runs. So a
    system that runs and was never made the default gives way to the default.
    """
    last = next((one.number for one in found if one.default), None)
    older = [
        one for one in found if not one.running and (last is None or one.number <= last)
    ]
    return older[-1] if older else None
