"""
Single values of the settings, as people write them.

Each function returns the value, or raises ValueError with what is wrong and what is
accepted. Much of what they refuse would be taken for an option by git, ssh or nix, or
would let a settings file run a command that nobody asked for.
"""

import base64
import ipaddress
import re
from pathlib import Path

from reconciler.model import Heal, is_unit_name

LONGEST = 366 * 86400.0
"""Seconds of the longest duration; far beyond it, timers of the system overflow."""

ED25519_KEY = 32
"""Bytes of an Ed25519 public key."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile("".join(f"(?:({_NUMBER}){unit})?" for unit in _UNITS), re.ASCII)
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(rf"({_NUMBER})([KMGT]?)", re.ASCII)
_PERCENT = re.compile(rf"({_NUMBER})%", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}", re.ASCII)
_HOST_PATTERN = re.compile(r"[A-Za-z0-9_*?\[][A-Za-z0-9_.*?\[\]!-]{0,252}", re.ASCII)
_HOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?", re.ASCII)
_LOOKUP_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
DURATION_FORMS = "30s, 5m, 1h, 2d, 1h30m or a plain number of seconds"


# --- units -----------------------------------------------------------------------

RESTART_ONLY = "restart-only"


def heal(value: object) -> Heal:
    """Return what is to be done about a unit: a flag, or ``restart-only``."""
    if isinstance(value, bool):
        return Heal.ALL if value else Heal.NOTHING
    if value == RESTART_ONLY:
        return Heal.RESTART_ONLY
    message = f"must be true, false or {RESTART_ONLY}, not {value!r}"
    raise ValueError(message)


def off(value: object) -> object:
    """Return *value*, which YAML takes for false where it is a bare ``off``."""
    return "off" if value is False else value


def unit_name(name: str) -> str:
    """Return the whole name of a unit; without a suffix it is that of a service."""
    for whole in (name, f"{name}.service"):
        if is_unit_name(whole):
            return whole
    message = f"is no name of a unit: {name!r}; write one such as app.service"
    raise ValueError(message)


# --- durations -------------------------------------------------------------------


def duration(value: object) -> float:
    """Return the seconds that *value* means."""
    seconds = _seconds(value)
    if seconds is None:
        message = f"is no duration: {value!r}; write {DURATION_FORMS}"
        raise ValueError(message)
    if not 0 <= seconds <= LONGEST:  # also refuses what is no number
        message = f"must be between 0 and {LONGEST / 86400:g}d, not {value!r}"
        raise ValueError(message)
    return seconds


def positive_duration(value: object) -> float:
    """Return the seconds that *value* means, which must be some."""
    if seconds := duration(value):
        return seconds
    message = f"must be more than 0; write {DURATION_FORMS}"
    raise ValueError(message)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or not value:
        return None
    if re.fullmatch(_NUMBER, value, re.ASCII):
        return float(value)
    if not (match := _DURATION.fullmatch(value)):
        return None
    pairs = zip(match.groups(default="0"), _UNITS.values(), strict=True)
    return sum(float(number) * unit for number, unit in pairs)


# --- shares and sizes ------------------------------------------------------------


def share(value: object) -> float:
    """Return the part of a whole, from 0 to 1, that *value* means; ``off`` is all."""
    if value is False or value == "off":  # YAML takes a bare off for false
        return 1.0
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= 1
    ):
        return float(value)
    message = f"should be a part from 0 to 1, such as 0.5, or off, not {value!r}"
    raise ValueError(message)


def size(value: object) -> int:
    """Return the bytes that *value* means: 256M, 1.5G or a plain number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = f"is no size: {value!r}; write 512K, 256M, 1.5G or a number of bytes"
        raise ValueError(message)
    return round(float(match[1]) * _SIZES[match[2]])


def memory(text: str) -> str:
    """Return *text* if `memory_of` understands it."""
    memory_of(text, 0)
    return text


def memory_of(text: str, free: int) -> int:
    """Return the bytes that *text* means: a size, or a part of what is *free*: 75%."""
    if not (match := _PERCENT.fullmatch(text)):
        return size(text)
    if 0 < (percent := float(match[1])) <= 100:  # noqa: PLR2004 -- of a hundred
        return round(free * percent / 100)
    message = f"should be more than 0% and 100% at most, not {text}"
    raise ValueError(message)


# --- hosts and addresses ---------------------------------------------------------


def host_name(text: str) -> str:
    """Return *text* if a host of the repository may have this name."""
    if _HOST_NAME.fullmatch(text):
        return text
    message = (
        f"{text!r} is no host name: letters, digits, '.', '_' and '-', "
        "beginning with a letter, digit or '_'"
    )
    raise ValueError(message)


def host_pattern(text: str) -> str:
    """Return *text* if it is the name of a host, or a pattern such as ``db-*``."""
    if _HOST_PATTERN.fullmatch(text):
        return text
    hint = ""
    if text.startswith("@"):
        hint = "; tags are what a commit says itself, so that it could take any"
    message = f"{text!r} is neither the name of a host nor a pattern of names{hint}"
    raise ValueError(message)


def address(text: str) -> str:
    """Return *text* if it is an IP address or a name that DNS may know."""
    if _is_ip(text) or _HOST_NAME.fullmatch(text):
        return text
    hint = ""
    if "@" in text:
        hint = "; the user belongs into `user`"
    elif ":" in text:
        hint = "; the port belongs into `port`"
    message = f"{text!r} is neither a host name nor an IP address{hint}"
    raise ValueError(message)


ADDRESS_FIELDS = ("name", "hostName", "fqdn")
"""What a rule for addresses may be made of; see ``desired/places.py``."""


def address_rule(text: str) -> str:
    """Return *text* if it is an address with fields in it, such as ``{name}.lan``."""
    try:
        filled = text.format(**dict.fromkeys(ADDRESS_FIELDS, "x"))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{field}}}" for field in ADDRESS_FIELDS)
        message = f"{text!r} is no rule for addresses; it may hold {known}"
        raise ValueError(message) from error
    if filled == text:
        message = f"{text!r} would be the address of every host; write {{name}}.lan"
        raise ValueError(message)
    address(filled)
    return text


def port(number: int) -> int:
    """Return *number* if it can be a port."""
    if 1 <= number <= 65535:  # noqa: PLR2004 -- the largest port there is
        return number
    message = f"{number} is no port: a number from 1 to 65535"
    raise ValueError(message)


def user(text: str) -> str:
    """Return *text* if it can be the name of a user."""
    if _USER.fullmatch(text):
        return text
    message = f"{text!r} is no user name: letters, digits, '.', '_' and '-'"
    raise ValueError(message)


def listen(text: str) -> str:
    """Return *text* if it is ``host:port``, an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:  # noqa: PLR2004 -- the largest port there is
        message = f"{text!r} has no port: write host:port with a port up to 65535"
        raise ValueError(message)
    if host.startswith("[") and host.endswith("]"):
        _require_ip6(host[1:-1])
    elif not _HOST_NAME.fullmatch(host):
        message = (
            f"{text!r} is not host:port, such as 127.0.0.1:9876 or [::1]:9876; "
            "0.0.0.0 listens on every address"
        )
        raise ValueError(message)
    return text


def network(text: str) -> str:
    """Return *text* if it is an IP address, or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        message = f"{text!r} is neither an IP address nor a network such as 10.0.0.0/8"
        raise ValueError(message) from error
    return text


def hook_name(text: str) -> str:
    """Return *text* if it can be the end of a webhook's address."""
    if _HOOK_NAME.fullmatch(text):
        return text
    message = (
        f"{text!r} cannot end a URL: up to 100 letters, digits, '.', '_' and '-', "
        "beginning with a letter or digit"
    )
    raise ValueError(message)


def public_key(text: str) -> str:
    """Return *text* if it is an Ed25519 public key in Base64."""
    try:
        if len(base64.b64decode(text, validate=True)) == ED25519_KEY:
            return text
    except ValueError:
        pass
    message = f"{text!r} is no Ed25519 public key: {ED25519_KEY} bytes in Base64"
    raise ValueError(message)


def _require_ip6(text: str) -> None:
    if ":" not in text or not _is_ip(text):
        message = f"[{text}] is no IPv6 address in brackets"
        raise ValueError(message)


def _is_ip(text: str) -> bool:
    address, percent, zone = text.partition("%")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    # Python takes anything for the name of an interface, line ends too.
    return not percent or (":" in address and bool(_ZONE.fullmatch(zone)))


# --- paths and nix ---------------------------------------------------------------


def absolute(path: Path, folder: Path | None) -> Path:
    """Return *path* with ``~`` expanded, taken from *folder* where it is relative."""
    try:
        path = path.expanduser()
    except RuntimeError as error:
        message = f"{str(path)!r}: nobody's home is known under this name"
        raise ValueError(message) from error
    return path if folder is None else folder / path


_TAKEN = ("/bin", "/dev", "/etc", "/lib", "/nix", "/proc", "/run", "/sys", "/usr")


def mount_point(path: Path) -> Path:
    """Return *path* if a repository may seem to be there."""
    taken = next((one for one in _TAKEN if path.is_relative_to(one)), None)
    if (
        path.is_absolute()
        and ".." not in path.parts
        and path != Path("/")
        and not taken
    ):
        return path
    message = (
        f"a repository cannot be at {path}: write the path by which its files import"
        " each other, such as /home/me/nixos-configs"
    )
    raise ValueError(message)


def entry(text: str) -> str:
    """Return *text* if it can be a file or attribute of the repository."""
    if text and not text.startswith(("-", "/", "~")) and ".." not in text.split("/"):
        return text
    message = f"{text!r} is no path inside the repository"
    raise ValueError(message)


def folder(text: str) -> str:
    """Return the folder *text* of the repository, without a slash at its end."""
    parts = [part for part in entry(text).split("/") if part not in {"", "."}]
    return "/".join(parts) or "."


def not_empty(value: object) -> object:
    """Return *value* unless it is empty text, which as a path would be the folder."""
    if value != "":
        return value
    message = "is empty; write a path"
    raise ValueError(message)


_CACHE_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_CACHE_NAME = re.compile(r"(?:attic|cachix):[\w.-]+(?::[\w.-]+)?", re.ASCII)


def cache(text: str) -> str:
    """Return where to push: a store's URL, or a cache of attic or cachix by name."""
    if _CACHE_URL.fullmatch(text) or _CACHE_NAME.fullmatch(text):
        return text
    message = (
        f"{text!r} is no cache: write the URL of a store as `nix copy --to` takes it,"
        " such as s3://bucket, ssh://host or file:///srv/cache, or attic:CACHE, or"
        " cachix:CACHE"
    )
    raise ValueError(message)


def nix_path_entry(text: str, folder: Path | None = None) -> str:
    """Return one entry of the Nix search path: ``name=place`` or ``place``."""
    name, equals, place = text.rpartition("=")
    if not place or (equals and not _HOST_NAME.fullmatch(name.replace("/", "."))):
        message = f"{text!r} is not name=path, such as nixpkgs=/srv/nixpkgs"
        raise ValueError(message)
    if not _LOOKUP_URL.match(place):
        place = str(absolute(Path(place), folder))
    return f"{name}{equals}{place}"


def nix_option(value: object) -> str:
    """Return the value of a Nix option as ``--option`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    message = "should be text, a whole number, true or false"
    raise ValueError(message)


SECRET_OPTIONS = frozenset({"access-tokens"})
"""Options of Nix that hold secrets."""


def nix_option_name(text: str) -> str:
    """Return *text* if a Nix option may have this name and stand in the settings."""
    if text.removeprefix("extra-") in SECRET_OPTIONS:
        message = (
            f"{text} holds secrets, which lists of processes would show: write it into"
            " ~/.config/nix/nix.conf of the daemon's user, readable for nobody else"
        )
        raise ValueError(message)
    if re.fullmatch(r"[a-z][a-z0-9-]*", text, re.ASCII):
        return text
    message = f"{text!r} is no Nix option: see `nix show-config`"
    raise ValueError(message)
