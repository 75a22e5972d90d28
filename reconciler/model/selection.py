"""Which hosts a person means: one way to say it, wherever hosts are named. Pure."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from reconciler.errors import EmptySelectionError, UnknownHostError
from reconciler.model.names import HostName

TAG, NOT = "@", "!"


def select(
    words: Sequence[str], known: Mapping[HostName, Collection[str]]
) -> list[HostName]:
    """
    Return the hosts that *words* mean, sorted. *known* are all hosts with their tags.

    ``lufta``, ``web-*``, ``@home`` for a tag, and each of these after ``!`` for what is
    left out. If nothing says which, all hosts are meant. Raises UnknownHostError for a
    word that means none of them: a mistake, most of all in what is to be left out; and
    EmptySelectionError where nothing remains.
    """
    chosen: set[HostName] = set()
    left_out: set[HostName] = set()
    for word in words:
        plain = word.removeprefix(NOT)
        if not (found := _meant(plain, known)):
            raise UnknownHostError(plain, known=_names(known))
        (chosen if plain == word else left_out).update(found)
    if not chosen:
        chosen = set(known)
    if words and not chosen - left_out:
        raise EmptySelectionError(words)
    return sorted(chosen - left_out)


def needs_tags(words: Sequence[str]) -> bool:
    """Say whether tags must be known to tell which hosts *words* mean."""
    return any(word.removeprefix(NOT).startswith(TAG) for word in words)


def _meant(word: str, known: Mapping[HostName, Collection[str]]) -> set[HostName]:
    pattern = word.removeprefix(TAG)
    if pattern != word:
        return {host for host, tags in known.items() if _has(tags, pattern)}
    return {host for host in known if host == word or fnmatchcase(host, word)}


def _has(tags: Collection[str], pattern: str) -> bool:
    return any(fnmatchcase(tag, pattern) for tag in tags)


def _names(known: Mapping[HostName, Collection[str]]) -> list[str]:
    tags = {f"{TAG}{tag}" for of_host in known.values() for tag in of_host}
    return [*sorted(known), *sorted(tags)]
