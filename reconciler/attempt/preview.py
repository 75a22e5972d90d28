"""What a plan would bring to a host, told before anything is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.attempt.system_diff import UnknownSystemPathError, difference
from reconciler.errors import ReconcilerError, StoppingError
from reconciler.model import (
    CommitId,
    Desired,
    Observed,
    Plan,
    StorePath,
    SystemDiff,
    Takeover,
)
from reconciler.observed import etc_files, etc_texts
from reconciler.plan import (
    BringsShape,
    FileDiff,
    PreviewShape,
    as_dict,
    brought_as_dict,
    file_as_dict,
    file_diff,
    needs_reboot,
)
from reconciler.remote import HostReader

MOST_FILES = 300
"""Files whose texts are compared; of more, it is said that there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What comes with another system, as far as it can be told now."""

    packages: SystemDiff | None = None
    reboot: tuple[str, ...] | None = None  # what only a reboot changes; None: not known
    files: tuple[FileDiff, ...] | None = None  # None: not asked for
    left_out: int = 0  # files that differ as well
    problem: str = ""  # why there are no packages


def preview(
    desired: Desired, observed: Observed, reader: HostReader, *, files: bool
) -> Preview | None:
    """
    Return what *desired* brings; with the texts of *files* if so.

    None where it runs already. Raises StoppingError; another error is told in it.
    """
    before, after = observed.running, desired.toplevel
    if before is None or before == after:
        return None
    try:
        found = difference(before, after, reader)
        told, more = _files(before, after, reader) if files else (None, 0)
    except StoppingError:
        raise
    except UnknownSystemPathError as error:
        if error.toplevel != after:
            return Preview(problem=str(error))
        see = f"not built yet; to see it: reconciler diff {desired.host} --build"
        return Preview(problem=see)
    except ReconcilerError as error:
        return Preview(problem=str(error))
    return Preview(
        packages=found,
        reboot=needs_reboot(observed.booted_parts, found.parts),
        files=told,
        left_out=more,
    )


def preview_as_dict(
    plan: Plan,
    desired: Desired,
    commit: CommitId,
    brings: Preview | None,
    first: Sequence[Takeover] | None,
) -> PreviewShape:
    """Return for JSON a plan, and what would come of it."""
    told = as_dict(plan, desired, commit)
    return {
        **told,
        "brings": _brings_as_dict(brings) if brings else None,
        "first_deployment": None
        if first is None
        else [{"kind": one.kind, "text": one.text} for one in first],
    }


def _brings_as_dict(found: Preview) -> BringsShape:
    files = None
    if found.files is not None:
        files = [file_as_dict(one) for one in found.files]
    return {
        "packages": brought_as_dict(found.packages) if found.packages else None,
        "reboot": None if found.reboot is None else list(found.reboot),
        "files": files,
        "files_left_out": found.left_out,
        "problem": found.problem,
    }


def _files(
    before: StorePath, after: StorePath, reader: HostReader
) -> tuple[tuple[FileDiff, ...], int]:
    """Return how files in /etc differ, and how many more do."""
    old, of_old = _listed(before, reader)
    new, of_new = _listed(after, reader)
    names = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    shown = names[:MOST_FILES]
    was = etc_texts([old[name] for name in shown if name in old], of_old)
    now = etc_texts([new[name] for name in shown if name in new], of_new)
    found = [
        file_diff(
            f"/etc/{name}",
            was.get(old[name]) if name in old else None,
            now.get(new[name]) if name in new else None,
            large=_is_large(old, name, was) or _is_large(new, name, now),
        )
        for name in shown
    ]
    return tuple(one for one in found if one is not None), len(names) - len(shown)


def _is_large(
    files: Mapping[str, str], name: str, texts: Mapping[str, bytes | None]
) -> bool:
    return name in files and texts[files[name]] is None


def _listed(
    toplevel: StorePath, reader: HostReader
) -> tuple[Mapping[str, str], HostReader | None]:
    """Return the files of a system, and who has them: None is this machine."""
    if (here := etc_files(toplevel, None)) is not None:
        return here, None
    there = etc_files(toplevel, reader)
    if there is None:
        raise UnknownSystemPathError(toplevel, built=True)
    return there, reader
