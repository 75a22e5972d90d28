"""The keyring for commits that nobody has merged: it gives nothing out."""

from collections.abc import Iterable
from pathlib import Path

from reconciler.model import Desired, Digests

REASON = "not looked at: the commit is not on the watched branch"


class ClosedKeyring:
    """
    Says of each key that it was not looked at.

    To look is to read files and to run commands that the commit names, on the
    reconciler's machine: what is on the branch may do that, and what is proposed not.
    """

    def digests(self, desired: Desired, checkout: Path) -> Digests:  # noqa: ARG002
        """Return no hash."""
        return Digests(problems=dict.fromkeys(desired.keys, REASON))

    def contents(
        self,
        desired: Desired,  # noqa: ARG002
        checkout: Path,  # noqa: ARG002
        names: Iterable[str],  # noqa: ARG002
    ) -> dict[str, bytes]:
        """Return no content."""
        return {}
