"""
What belongs to a system: its store paths and their sizes, asked of whoever has it.

This machine is asked first, since it built most of what hosts run; else the host. A
closure that neither has any more is nowhere.
"""

import shlex
from collections.abc import Mapping, Sequence

from reconciler import process
from reconciler.errors import FactError
from reconciler.remote import HostReader

DEADLINE = 60.0  # seconds for one question

_ABSENT = "absent"

# Old commands, which every Nix has; sizes come in the order of the paths.
_SCRIPT = """
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
for path in {paths}; do
  if ! nix-store --check-validity "$path" 2>/dev/null; then echo {absent}; exit 0; fi
done
paths=$(nix-store --query --requisites {paths}) || exit 1
sizes=$(echo "$paths" | xargs nix-store --query --size) || exit 1
echo "$paths"
echo
echo "$sizes"
echo end
"""

Closure = Mapping[str, int]
"""Store paths, and the bytes of each as a NAR."""


def closure(paths: Sequence[str], reader: HostReader | None = None) -> Closure | None:
    """
    Return everything that *paths* need, with sizes in bytes; None if it is nowhere.

    This machine is asked first, then the host behind *reader*. Raises FactError,
    CommandError, and what reading raises.
    """
    here = _parsed(_ask_here(_script(paths)))
    if here is not None or reader is None:
        return here
    text = reader.read(_script(paths), what="closure", deadline=DEADLINE)
    return _parsed(text)


def _script(paths: Sequence[str]) -> str:
    return _SCRIPT.format(paths=shlex.join(paths), absent=_ABSENT)


def _ask_here(script: str) -> str:
    return process.run(("sh", "-c", script), deadline=DEADLINE).stdout


def _parsed(text: str) -> Closure | None:
    """Read the answer of the script. Raises FactError."""
    if text.strip() == _ABSENT:
        return None
    body, separator, rest = text.strip().partition("\n\n")
    paths, sizes = body.splitlines(), rest.splitlines()
    if not separator or sizes[-1:] != ["end"] or len(sizes) != len(paths) + 1:
        message = "the answer about a closure is not understood"
        raise FactError(message)
    try:
        return dict(zip(paths, map(int, sizes[:-1]), strict=True))
    except ValueError as error:
        message = f"the answer about a closure is not understood: {error}"
        raise FactError(message) from error
