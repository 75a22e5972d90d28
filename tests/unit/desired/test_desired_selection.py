"""Which hosts of a repository are ours, and what they are called here."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.selection import candidates, select
from reconciler.errors import LayoutError
from reconciler.model import HostName
from reconciler.settings import RepositorySettings

NAMES = ("db-1", "db-2", "installer", "web")


def settings(
    entry: tuple[str, ...], *, exclude: tuple[str, ...] = ()
) -> RepositorySettings:
    return RepositorySettings(url="/srv/repo.git", entry=entry, exclude=exclude)


def chosen(*entry: str, exclude: tuple[str, ...] = ()) -> dict[str, str]:
    names = [HostName(name) for name in NAMES]
    return dict(select(names, settings(entry, exclude=exclude)))


def test_entries_choose_hosts_and_exclude_leaves_some_out() -> None:
    assert tuple(chosen()) == NAMES
    assert tuple(chosen("web", "db-*")) == ("db-1", "db-2", "web")
    assert tuple(chosen(exclude=("inst*",))) == ("db-1", "db-2", "web")
    assert tuple(chosen("db-*", exclude=("db-2",))) == ("db-1",)
    assert tuple(chosen("hosts/*.nix", "x.nix#y")) == NAMES, "files choose no host"


def test_entries_rename_hosts() -> None:
    """The first word that fits says what a host is called."""
    assert chosen("web=www", "db-*=database*") == {
        "database1": "db-1",
        "database2": "db-2",
        "www": "web",
    }
    assert chosen("db-1=first", "db-*") == {"db-2": "db-2", "first": "db-1"}
    assert chosen("db-*=*", exclude=("db-2",)) == {"1": "db-1"}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (("wbe",), r"no host is called wbe.*db-1, db-2, installer, web"),
        (("wbe=web",), r"no host is called wbe"),
        (("db-1=db", "db-2=db"), r"db-1 and db-2 are both called db"),
        (("we*=db",), r"we\*=db renames no host"),
        (("web=db-1", "db-*"), r"db-1 and web are both called db-1"),
        (("web=*",), r"web=\* renames no host"),
        (("*-*=*",), r"renames no host"),
        (("web=",), r"renames no host"),
        (("web=..",), r"'\.\.' cannot be the name of a host"),
    ],
)
def test_a_mistake_is_told(entry: tuple[str, ...], told: str) -> None:
    with pytest.raises(LayoutError, match=told):
        chosen(*entry)


words = st.text("abx", min_size=1, max_size=4)
patterns = st.one_of(words, st.builds("{}*".format, words), st.just("*"))
entries = st.one_of(patterns, st.builds("{}={}".format, patterns, patterns))


@given(st.lists(words, unique=True, max_size=6), st.lists(entries, max_size=4))
def test_what_we_call_a_host_leads_back_to_it(
    names: list[str], entry: list[str]
) -> None:
    given = settings(tuple(entry))
    with contextlib.suppress(LayoutError):
        there = [HostName(name) for name in names]
        for here, name in select(there, given).items():
            assert {name} == set(names) & set(candidates(here, given))
