"""What git tells of a commit."""

from reconciler.model import Commit, CommitId
from reconciler.printable import on_one_line

FIELDS = "%H%x00%T%x00%s%x00%an%x00%ct"
"""The format in which git is to tell of it."""


def read_commit(line: str, *, branch: str) -> Commit:
    """Return the commit that git tells of with `FIELDS`."""
    name, tree, subject, author, time = line.split("\0")
    return Commit(
        id=CommitId(name),
        tree=tree,
        branch=branch,
        subject=on_one_line(subject),
        author=on_one_line(author),
        committed_at=float(time),
    )
