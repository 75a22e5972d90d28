"""
How services ended that systemd starts over again and again, by the journal.

systemd forgets how a service ended as soon as it runs again. But it says in the journal
of each end whether it was a good one (``systemd.journal-fields(7)``, and
``journalctl --catalog`` for the two messages).
"""

import re
import shlex
from collections.abc import Iterable, Sequence

from reconciler.errors import FactError
from reconciler.model import UnitName, is_unit_name
from reconciler.remote import HostReader

ENDED_WELL = "7ad2d189f7e94e70a38c781354912448"  # SD_MESSAGE_UNIT_SUCCESS
FAILED = "d9b373ed55a64feb8242e02dbe79a49c"  # SD_MESSAGE_UNIT_FAILURE_RESULT
END = "== end"
_LINE = re.compile(r"(\S+) (\d{1,9}) (\d{1,9})", re.ASCII)


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
    Return the sh script that counts good and bad ends of each unit.

    What systemd has said is read once journald has it. That none could be counted in
    time is no zero.
    """
    names = [name for name in dict.fromkeys(units) if is_unit_name(name)]
    seconds = 0.8 * deadline / (2 * len(names) + 1)
    return f"""\
LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH
journal() {{
    timeout -k 1 {seconds:.3f} journalctl "$@" 2>/dev/null
    case $? in 124 | 137) echo LATE ;; esac
}}
count() {{
    said=$(
        journal -q -b --no-pager -o cat --output-fields=MESSAGE_ID \\
            --since=@{since:.6f} _PID=1 UNIT="$1" MESSAGE_ID="$2"
    )
    case $said in *LATE*) echo late ;; *) printf %s "$said" | grep -c . ;; esac
}}
case $(journal --sync) in *LATE*) echo late ;; esac
for unit in {shlex.join(names)}; do
    printf '%s %s %s\\n' "$unit" "$(count "$unit" {ENDED_WELL})" \\
        "$(count "$unit" {FAILED})"
done
echo '{END}'
"""


def parse(text: str, units: Iterable[UnitName]) -> frozenset[UnitName]:
    """Read the answer to ``script``; raises ValueError."""
    lines = [line for line in text.split("\n") if line]
    if not lines or lines.pop() != END:
        message = "it was cut off"
        raise ValueError(message)
    counts: dict[UnitName, tuple[int, int]] = {}
    wanted = frozenset(units)
    for line in lines:
        if "late" in line.split():
            message = "the journal did not answer in time"
            raise ValueError(message)
        match = _LINE.fullmatch(line)
        if match is None:
            message = "a line has another form"
            raise ValueError(message)
        counts[UnitName(match[1])] = (int(match[2]), int(match[3]))
    # A unit of which the journal says nothing may have ended in any way.
    return frozenset(
        name
        for name, (good, bad) in counts.items()
        if good and not bad and name in wanted
    )
