"""
Branches, tags, commits and repositories, as people write them in the settings.

Each function returns the value, or raises ValueError with what is wrong and what is
accepted. What they refuse git would take for an option, or for a command to run.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reconciler.settings import values

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_HELPER = re.compile(r"([A-Za-z0-9+.-]+)::", re.ASCII)
_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")
_SCHEMES = ("file", "http", "https", "ssh")
_HTTP = ("http", "https")
_NO_LOGIN = (
    "must not hold a login (a name, password or token before @), which lists of"
    " processes would show: put it into ~/.netrc of the daemon's user or a git"
    " credential helper, or use an SSH key"
)
_URL_FORMS = "a path, file:///path, https://host/path, ssh://host/path or host:path"


def branch(text: str) -> str:
    """Return *text* if it can be a branch, by the rules of git-check-ref-format(1)."""
    if text.startswith("refs/"):
        message = f"write the branch as {text.removeprefix('refs/heads/')!r}"
        raise ValueError(message)
    bad = _BAD_IN_BRANCH.search(text) or text in {"", "@", "HEAD"}
    if bad or text.startswith(("-", ".", "/")) or text.endswith(("/", ".")):
        message = f"{text!r} cannot be the name of a branch"
        raise ValueError(message)
    return text


def tag_pattern(text: str) -> str:
    """Return *text* if it can be the name of a tag, with ``*``, ``?`` and ``[a-z]``."""
    branch(re.sub(r"[*?\[\]]", "x", text))
    return text


def commit_id(text: str) -> str:
    """Return *text* if it is the whole id of a commit."""
    if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", text):
        return text
    message = f"{text!r} is no whole id of a commit: 40 or 64 of 0-9a-f, as git log has"
    raise ValueError(message)


def own_repository_url(text: str, folder: Path | None) -> str:
    """
    Return the URL *text* of the settings, which may hold no login over HTTP.

    Any part of a login may be a token. Raises ValueError, which quotes none of it.
    """
    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() in _HTTP:
        authority = re.split(r"[/?#\\]", text[scheme.end() :], maxsplit=1)[0]
        if "@" in authority:
            raise ValueError(_NO_LOGIN)
    return repository_url(text, folder)


def repository_url(text: str, folder: Path | None = None) -> str:
    """Return the URL *text*; a relative path is taken from *folder*."""
    if not text or text.startswith("-"):
        message = f"{text!r} is no repository: write {_URL_FORMS}"
        raise ValueError(message)
    if helper := _HELPER.match(text):
        message = f"{helper[0]} could run any command: write {_URL_FORMS}"
        raise ValueError(message)
    if scheme := _SCHEME.match(text):
        _check_url(text, scheme[1].lower())
        return text
    if _is_scp(text):
        _check_ssh_host(text.partition(":")[0])
        return text
    return str(values.absolute(Path(text), folder))


def local_path(url: str) -> Path | None:
    """Return the path that *url* means on this machine, or None if it is elsewhere."""
    if _SCHEME.match(url):
        parts = urlsplit(url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None
    return None if _is_scp(url) else Path(url)


def _is_scp(text: str) -> bool:
    """Say whether git would read ``host:path``: a colon before the first slash."""
    return ":" in text.partition("/")[0]


def _check_url(text: str, scheme: str) -> None:
    if scheme not in _SCHEMES:
        message = f"{scheme}:// is not supported: write {_URL_FORMS}"
        raise ValueError(message)
    try:
        parts = urlsplit(text)
        _ = parts.port  # parsed only when asked for
    except ValueError as error:
        message = f"is no URL: {error}"
        raise ValueError(message) from error
    if parts.password is not None:
        raise ValueError(_NO_LOGIN)
    _check_authority(scheme, parts.netloc, parts.path)


def _check_authority(scheme: str, authority: str, path: str) -> None:
    if scheme == "file":
        if authority not in {"", "localhost"} or not path:
            message = "needs three slashes: file:///path"
            raise ValueError(message)
    elif not authority.rpartition("@")[2]:
        message = f"names no host: write {_URL_FORMS}"
        raise ValueError(message)
    elif scheme == "ssh":
        _check_ssh_host(authority)


def _check_ssh_host(authority: str) -> None:
    login, _, host = authority.rpartition("@")
    if login.startswith("-") or host.startswith("-") or not host:
        message = f"{authority!r} is no host that ssh could reach"
        raise ValueError(message)
