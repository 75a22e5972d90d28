"""Whether processes still are."""

from pathlib import Path


def started_at(pid: int) -> str | None:
    """
    Return when *pid* was started, in the kernel's ticks; None if it has ended.

    A zombie, which nobody has waited for yet, has ended. Numbers come again, and only
    the time tells two processes apart.
    """
    try:
        # The command, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


def is_gone(pid: int) -> bool:
    """Say whether *pid* has ended."""
    return started_at(pid) is None
