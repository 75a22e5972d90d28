"""URLs of submodules, seen from the repository that holds them."""

import pytest

from reconciler.errors import SourceError
from reconciler.source.submodules import relative_url


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("https://h/a/b", "https://x/y", "https://x/y"),
        ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
        ("https://h/a/b/", "../../c", "https://h/c"),
        ("https://h/a/b", "./c", "https://h/a/b/c"),
        ("https://h/a/b", "./../c/", "https://h/a/c"),
        ("git@h:a/b", "../c", "git@h:a/c"),
        ("git@h:b", "../c", "git@h:c"),
        ("/srv/git/a.git", "../b.git", "/srv/git/b.git"),
    ],
)
def test_relative_urls(base: str, url: str, expected: str) -> None:
    assert relative_url(base, url) == expected


@pytest.mark.parametrize("url", ["../../../../../c", "../../../../../../../../c"])
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match="leads out of"):
        relative_url("https://h/a/b", url)


def test_a_login_in_a_base_is_not_told() -> None:
    with pytest.raises(SourceError) as refused:
        relative_url("ssh://hunter2@h/a", "../../../../../c")

    assert "hunter2" not in str(refused.value)
