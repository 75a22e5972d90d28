"""Which hosts of a repository are ours, and what they are called here (pure)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reconciler.desired.layout import check_name, is_file
from reconciler.errors import LayoutError
from reconciler.model import HostName
from reconciler.settings import RepositorySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One word of ``repository.entry`` that chooses hosts: ``db-*``, ``prod-*=*``."""

    pattern: str
    name: str | None = None  # what they are called here; None: as in the repository

    def fits(self, there: str) -> bool:
        """Say whether it chooses the host that the repository calls *there*."""
        if self.name is None:
            return fnmatchcase(there, self.pattern)
        return _filling(self.pattern, there) is not None

    def here(self, there: HostName) -> HostName:
        """Return what we call the host that it chooses."""
        if self.name is None:
            return there
        return check_name(self.name.replace("*", _filling(self.pattern, there) or ""))

    def there(self, here: HostName) -> HostName | None:
        """Return what the repository may call the host *here*; None if it cannot be."""
        if self.name is None:
            return here if fnmatchcase(here, self.pattern) else None
        filling = _filling(self.name, here)
        return None if filling is None else HostName(self.pattern.replace("*", filling))


def select(
    names: Sequence[HostName],
    settings: RepositorySettings,
    hidden: Collection[HostName] = (),
) -> Mapping[HostName, HostName]:
    """
    Return what each host is called in the repository, by what we call it, sorted.

    They are those of *names* that ``entry`` chooses and ``exclude`` does not, without
    the *hidden* ones, which are there by another name. Raises
    LayoutError for a word that chooses nothing (a typing mistake must not be taken for
    hosts that are gone), and where two would be called the same.
    """
    choices = _choices(settings)
    for choice in choices:
        if not any(map(choice.fits, names)):
            there = ", ".join(names) or "none"
            message = (
                f"repository.entry: no host is called {choice.pattern};"
                f" there are: {there}"
            )
            raise LayoutError(message)
    found: dict[HostName, HostName] = {}
    for name in names:
        if name in hidden or _is_excluded(name, settings):
            continue
        for here in _called(name, choices):
            if here in found:
                message = (
                    f"repository.entry: {found[here]} and {name} are both called {here}"
                )
                raise LayoutError(message)
            found[here] = name
    return dict(sorted(found.items()))


def is_chosen(name: HostName, settings: RepositorySettings) -> bool:
    """Say whether the host that the repository calls *name* is one of ours."""
    return not _is_excluded(name, settings) and any(
        True for _ in _called(name, _choices(settings))
    )


def _is_excluded(name: HostName, settings: RepositorySettings) -> bool:
    return any(fnmatchcase(name, text) for text in settings.exclude)


def candidates(host: HostName, settings: RepositorySettings) -> Iterator[HostName]:
    """Yield what the repository may call *host*, the likeliest first."""
    choices = _choices(settings)
    if not choices:
        yield host
    for choice in choices:
        there = choice.there(host)
        if there is not None and list(_called(there, choices)) == [host]:
            yield there


def _called(there: HostName, choices: Sequence[Choice]) -> Iterator[HostName]:
    """Yield what we call a host, if we have it: the first word that fits says so."""
    if not choices:
        yield there
    yield from [choice.here(there) for choice in choices if choice.fits(there)][:1]


def _choices(settings: RepositorySettings) -> list[Choice]:
    return [_choice(text) for text in settings.entry if not is_file(text)]


def _choice(text: str) -> Choice:
    pattern, equals, name = text.partition("=")
    if not equals:
        return Choice(pattern=text)
    stars = pattern.count("*")
    # With one on the left alone: what does the repository call such a host?
    if not name or stars > 1 or stars != name.count("*"):
        message = (
            f"repository.entry: {text} renames no host: write prod-web=web, or with one"
            " * on each side prod-*=*"
        )
        raise LayoutError(message)
    return Choice(pattern=pattern, name=name)


def _filling(pattern: str, name: str) -> str | None:
    """Return what the * of *pattern* stands for in *name*; None if it does not fit."""
    before, star, after = pattern.partition("*")
    if not star:
        return "" if name == pattern else None
    inside = name[len(before) : len(name) - len(after)]
    return inside if f"{before}{inside}{after}" == name and inside else None
