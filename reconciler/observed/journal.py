"""The end of the journal of some units, for quoting: a script, and its answer."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from reconciler.errors import FactError
from reconciler.model import UnitName, is_unit_name
from reconciler.observed.quoting import quoted
from reconciler.remote import HostReader

LINES = 10
LINE_LIMIT = 300
"""Characters of one line."""

UNIT_BYTES = 8000
"""Bytes of the journal of one unit that leave the host."""

END = "== end"
_MARK = "== "
_NO_ENTRY = re.compile(r"-- .* --")  # "-- No entries --", "-- Boot 1234… --"

Journal = Mapping[UnitName, tuple[str, ...]]


def read_journal(
    reader: HostReader,
    units: Sequence[UnitName],
    *,
    lines: int = LINES,
    deadline: float = 20.0,
) -> Journal:
    """
    Return the last *lines* that each unit logged since the host was booted.

    All in one round trip of *deadline* seconds. Raises FactError if the answer is not
    understood, and what the reader raises.
    """
    script = journal_script(units, lines, deadline=deadline)
    text = reader.read(script, what="journal", deadline=deadline)
    try:
        return parse_journal(text, units)
    except ValueError as error:
        message = f"{reader.host}: the answer about the journal: {error}"
        raise FactError(message) from error


def journal_script(
    units: Iterable[UnitName], lines: int = LINES, *, deadline: float
) -> str:
    """Return the sh script that tells the end of the journal of each unit."""
    more = lines * 3  # some are left out
    names = [name for name in dict.fromkeys(units) if is_unit_name(name)]
    seconds = 0.8 * deadline / max(1, len(names))
    # A space before each line, so that none is taken for a mark. systemd says what a
    # service printed in UTF-8 only in such a locale. What sudo and doas did in an SSH
    # session can count as sshd's: those commands are ours, and say nothing of it.
    return f"""\
LC_ALL=C.UTF-8 SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL SYSTEMD_COLORS SYSTEMD_URLIFY PATH
for unit in {shlex.join(names)}; do
    printf '{_MARK}%s\\n' "$unit"
    timeout -k 1 {seconds:.3f} journalctl -u "$unit" -n {more} -o short-precise \\
        --no-pager -q -b 2>&1 |
        grep -Ev ' sudo\\[[0-9]+\\]: .*(COMMAND=|\\(command continued\\))' |
        grep -Ev ' doas\\[[0-9]+\\]: .* ran command ' |
        tail -n {lines} | tail -c {UNIT_BYTES} | sed 's/^/ /'
    echo
done
echo '{END}'
"""


def parse_journal(text: str, units: Iterable[UnitName]) -> Journal:
    """
    Read the answer to ``journal_script``; raises ValueError.

    Every unit is there; one that logged nothing has no lines.
    """
    sections: dict[str, list[str]] = {}
    found: list[str] = []
    for line in text.split("\n"):
        if line.startswith(_MARK):
            found = sections.setdefault(line.removeprefix(_MARK), [])
        elif (kept := quoted(line, LINE_LIMIT)) and not _NO_ENTRY.fullmatch(kept):
            found.append(kept)
    if END.removeprefix(_MARK) not in sections:
        message = "it was cut off"
        raise ValueError(message)
    return {name: tuple(sections.get(name, ())) for name in dict.fromkeys(units)}
