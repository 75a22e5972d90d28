"""
How services ended that systemd starts over again and again, by the journal.

systemd forgets how a service ended as soon as it runs again. But it says in the journal
of each end whether it was a good one (``systemd.journal-fields(7)``, and
``journalctl --catalog`` for the two messages).
"""

import json
import shlex
from collections.abc import Iterable, Sequence

from reconciler.errors import FactError
from reconciler.model import UnitName, is_unit_name
from reconciler.remote import HostReader

ENDED_WELL = "7ad2d189f7e94e70a38c781354912448"  # SD_MESSAGE_UNIT_SUCCESS
FAILED = "d9b373ed55a64feb8242e02dbe79a49c"  # SD_MESSAGE_UNIT_FAILURE_RESULT
END, LATE = "== end", "== late"


def rounds_end_well(
    reader: HostReader, units: Sequence[UnitName], *, since: float, deadline: float
) -> frozenset[UnitName]:
    """
    Return those of *units* that have ended since, and each time well.

    *since* is a time of the host's own clock. All in one round trip of *deadline*
    seconds. Raises FactError if the answer is not understood, and what the reader
    raises.
    """
    text = reader.read(
        script(units, since=since, deadline=deadline), what="rounds", deadline=deadline
    )
    try:
        return parse(text, units)
    except ValueError as error:
        message = f"{reader.host}: the answer about how services ended: {error}"
        raise FactError(message) from error


def script(units: Iterable[UnitName], *, since: float, deadline: float) -> str:
    """
    Return the sh script that has journald say how each unit ended, a line for each end.

    What systemd has said is read once journald has it. Where journald is late, the
    answer says so: that nothing could be read in time is no "nothing".
    """
    names = [name for name in dict.fromkeys(units) if is_unit_name(name)]
    matches = shlex.join(f"UNIT={name}" for name in names)
    return f"""\
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH
journal() {{
    timeout -k 1 {0.4 * deadline:.3f} journalctl "$@" 2>/dev/null
    case $? in 124 | 137) echo '{LATE}'; exit ;; esac
}}
journal --sync
journal -q -b --no-pager -o json --output-fields=UNIT,MESSAGE_ID \\
    --since=@{since:.6f} _PID=1 MESSAGE_ID={ENDED_WELL} MESSAGE_ID={FAILED} {matches}
echo '{END}'
"""


def parse(text: str, units: Iterable[UnitName]) -> frozenset[UnitName]:
    """Read the answer to ``script``; raises ValueError."""
    lines = [line for line in text.split("\n") if line]
    last = lines.pop() if lines else ""
    if last == LATE:
        message = "the journal did not answer in time"
        raise ValueError(message)
    if last != END:
        message = "it was cut off"
        raise ValueError(message)
    ends = [_end(line) for line in lines]
    # A unit of which the journal says nothing may have ended in any way.
    good = {unit for unit, how in ends if how == ENDED_WELL}
    return frozenset(units) & good - {unit for unit, how in ends if how == FAILED}


def _end(line: str) -> tuple[UnitName, str]:
    """Return which unit ended, and how."""
    try:
        entry = json.loads(line)
        return UnitName(entry["UNIT"]), str(entry["MESSAGE_ID"])
    except (ValueError, LookupError, TypeError, RecursionError):
        message = "a line has another form"
        raise ValueError(message) from None
