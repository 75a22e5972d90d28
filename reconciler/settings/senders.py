"""
Values of the settings that say who is told, as people write them.

As `reconciler.settings.values`; what is wrong with a secret is said without quoting it.
"""

import re
import string
from collections.abc import Sequence
from urllib.parse import urlsplit

from reconciler.settings.values import host_name

CONTEXT_LIMIT = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", re.ASCII)
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+|[0-9]+", re.ASCII)


def notification_url(value: object) -> object:
    """Return *value* if it has the form of one of Apprise's URLs."""
    if isinstance(value, str) and not _URL.fullmatch(value):
        message = "is no URL as Apprise takes them, such as ntfy://host/topic"
        raise ValueError(message)
    return value


def target_name(text: str) -> str:
    """Return *text* if a target may have this name."""
    if _NAME.fullmatch(text):
        return text
    message = f"{text!r} is no name for a target: letters, digits, '.', '_' and '-'"
    raise ValueError(message)


def host_or_tag(text: str) -> str:
    """Return *text* if it is the name of a host, or a tag with an ``@`` before it."""
    host_name(text.removeprefix("@"))
    return text


def require_distinct(names: Sequence[str]) -> None:
    """Raise ValueError if a name is there twice."""
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        message = f"has two targets of the same name: {', '.join(sorted(twice))}"
        raise ValueError(message)


# --- templates -------------------------------------------------------------------


def template(text: str, fields: Sequence[str]) -> str:
    """Return *text* if it is a template that uses none but these *fields*."""
    parsed = string.Template(text)
    if not parsed.is_valid():
        message = f"{text!r} has a $ that begins no field; write $$ for the sign itself"
        raise ValueError(message)
    for name in parsed.get_identifiers():
        if name not in fields:
            known = ", ".join(f"${field}" for field in fields)
            message = f"${name} is no field; there are: {known}"
            raise ValueError(message)
    return text


def link(text: str, fields: Sequence[str]) -> str:
    """Return *text* if it is the template of a link to a page."""
    if urlsplit(text).scheme not in ("http", "https"):
        message = f"{text!r} is no link: it begins with https:// or http://"
        raise ValueError(message)
    return template(text, fields)


# --- forges ----------------------------------------------------------------------


def forge_url(text: str) -> str:
    """Return *text* without a slash at its end, if it is where a forge may be."""
    write = "a forge: write https://host, or https://host/path"
    return _address(text, write, "the token belongs into `token_file`")


def gateway_url(text: str) -> str:
    """Return *text* without a slash at its end, if it is where a Pushgateway may be."""
    write = "a Pushgateway: write https://host, or http://host:9091"
    url = _address(text, write, "a login belongs into `user`, `secret_file`")
    if "/metrics/" in f"{url}/":
        message = "goes on with /metrics/… by itself: write what comes before that"
        raise ValueError(message)
    return url


def central_url(text: str) -> str:
    """Return *text* without a slash at its end, if another reconciler may be there."""
    write = "a reconciler: write https://host, where its `http.listen` is reached"
    return _address(text, write, "reports need no login, since they are signed")


def _address(text: str, of: str, login: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = f"is no address of {of}"
        raise ValueError(message)
    if parts.username or parts.password or parts.query or parts.fragment:
        message = f"is more than an address; {login}"
        raise ValueError(message)
    return text.rstrip("/")


def label_value(text: str) -> str:
    """Return *text* if it can be the value of a label that tells groups apart."""
    if text.strip() and text.isprintable():
        return text
    message = "must have at least one character, and none that cannot be printed"
    raise ValueError(message)


def forge_repository(text: str) -> str:
    """Return *text* if it is the path of a repository, or GitLab's number of one."""
    parts = text.split("/")
    if _REPOSITORY.fullmatch(text) and not {".", ".."} & set(parts):
        return text
    message = f"{text!r} is no repository: write owner/name"
    raise ValueError(message)


def forge_context(text: str) -> str:
    """Return *text* if it can name a commit status."""
    if text.strip() and len(text) <= CONTEXT_LIMIT:
        return text
    message = f"must have 1 to {CONTEXT_LIMIT} characters"
    raise ValueError(message)
