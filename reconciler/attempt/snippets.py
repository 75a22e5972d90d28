"""Which snippets of activation scripts have failed, by what a guardian has logged."""

import re

_GOING_BACK = "going back to /nix/store/"  # a line of guardian.sh
OF_SNIPPETS = (_GOING_BACK, "Activation script snippet ")
_SNIPPET = re.compile(r"^Activation script snippet '(.+)' failed", re.MULTILINE)


def failed_snippets(log: str) -> tuple[frozenset[str], frozenset[str]]:
    """
    Return which snippets of activation scripts failed, by the log of a guardian.

    Those of the new system, and those of the old one when the host went back to it.
    """
    new, _, old = log.partition(_GOING_BACK)
    return frozenset(_SNIPPET.findall(new)), frozenset(_SNIPPET.findall(old))
