"""What may stand as the URL of a PostgreSQL database."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_FORM = "postgresql://[USER@][HOST][:PORT]/DATABASE[?PARAMETER=VALUE&…]"
_SCHEMES = ("postgresql", "postgres")
_SECRET = ("password", "sslpassword")
_FILES = ("passfile", "sslkey")
_NO_LOGIN = (
    "has a password, which lists of processes and logs would show: take it out, and"
    " name a file that has it with `?passfile=/run/keys/pgpass`, or have PostgreSQL"
    " know us by our user (peer) or a certificate"
)


def database_url(text: str) -> str:
    """
    Return *text* if it is a URL of PostgreSQL without a password.

    Whatever else libpq takes in a URL it may have. Raises ValueError, which quotes
    nothing of it.
    """
    scheme, separator, _ = text.partition("://")
    if not separator or scheme not in _SCHEMES or re.search(r"[\s\0-\x1f]", text):
        message = f"is no URL of PostgreSQL: write {_FORM}"
        raise ValueError(message)
    if _has_password(text):
        raise ValueError(_NO_LOGIN)
    return text


def files_of(url: str) -> Iterator[Path]:
    """Return the files named in *url* that hold secrets."""
    for name, value in parse_qsl(urlsplit(url).query):
        if name in _FILES:
            yield Path(value)


def _has_password(text: str) -> bool:
    # By hand: a URL of libpq may name several hosts, which are no URL for others.
    authority, _, rest = text.partition("://")[2].partition("/")
    login, at, _ = authority.rpartition("@")
    _, _, query = f"{authority}/{rest}".partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    names = {name.strip().lower() for name, _ in given}
    # One with a slash ends the authority too early, and would be shown as a port.
    torn = ":" in authority and "@" in rest.partition("?")[0]
    return torn or bool(at and ":" in login) or bool(names & set(_SECRET))
