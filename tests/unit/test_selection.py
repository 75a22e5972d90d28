"""Which hosts a person means: names, tags, patterns, and what is left out."""

import pytest

from reconciler.errors import EmptySelectionError, UnknownHostError
from reconciler.model import HostName
from reconciler.model.selection import needs_tags, select

KNOWN = {
    HostName(name): tags
    for name, tags in {
        "keanu": ("home",),
        "lufta": ("web", "home"),
        "web-1": ("web",),
        "web-2": ("web", "eu-west"),
    }.items()
}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("", "keanu lufta web-1 web-2"),
        ("lufta", "lufta"),
        ("web-2 lufta web-2", "lufta web-2"),
        ("web-*", "web-1 web-2"),
        ("web-[2-9] ?eanu", "keanu web-2"),
        ("@web", "lufta web-1 web-2"),
        ("@eu-*", "web-2"),
        ("!lufta", "keanu web-1 web-2"),
        ("!@web", "keanu"),
        ("@web !web-*", "lufta"),
        ("!web-1 @web", "lufta web-2"),
        ("* !@home", "web-1 web-2"),
    ],
)
def test_what_words_mean(words: str, meant: str) -> None:
    assert select(words.split(), KNOWN) == meant.split()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lufte", "no host is named 'lufte'"),
        ("lufta db-*", "no host is named 'db-*'"),
        ("@db", "no host has the tag 'db'"),
        ("@web !lufte", "no host is named 'lufte'"),
        ("!@db", "no host has the tag 'db'"),
        ("LUFTA", "no host is named 'LUFTA'"),
    ],
)
def test_a_word_that_means_no_host_is_a_mistake(words: str, told: str) -> None:
    """Most of all where it is to be left out: the others would be changed."""
    with pytest.raises(
        UnknownHostError, match="the repository has: keanu, lufta"
    ) as it:
        select(words.split(), KNOWN)

    assert told in str(it.value)


def test_only_words_of_tags_need_tags() -> None:
    assert not needs_tags(["lufta", "!web-*"])
    assert needs_tags(["lufta", "!@web"])


def test_to_leave_no_host_is_a_mistake() -> None:
    with pytest.raises(EmptySelectionError, match="no host is left of: @web !@web"):
        select(["@web", "!@web"], KNOWN)
