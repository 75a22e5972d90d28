"""Hypothesis strategies for keys: declared, on a host, and what is known of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from reconciler.model import DesiredKey, Digests, KeyOrigin, ObservedKey, UnitName

NAMES = ("withinbot", "wifi", "smtp password")
FOLDERS = ("/run/keys", "/run/keys", "/var/lib/keys")
ONCE_OURS = ("/run/keys/old", "/var/lib/keys/older")
USERS = ("root", "bot", "1000")
KINDS = ("regular", "regular", "regular", "missing", "symlink", "directory", "fifo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one host, from all sides."""

    desired: Mapping[str, DesiredKey]
    observed: Mapping[str, ObservedKey]
    digests: Digests
    delivered: frozenset[str]


def digest_of(name: str) -> str:
    """Return the hash that the content of a key has."""
    return (name.encode().hex() * 64)[:64]


@st.composite
def desired_keys(draw: st.DrawFn, name: str, units: tuple[UnitName, ...]) -> DesiredKey:
    """Draw one declared key."""
    return DesiredKey(
        name=name,
        path=f"{draw(st.sampled_from(FOLDERS))}/{name}",
        origin=draw(st.sampled_from(KeyOrigin)),
        user=draw(st.sampled_from(USERS)),
        group=draw(st.sampled_from(USERS)),
        mode=draw(st.sampled_from((0o600, 0o640, 0o400))),
        before_activation=draw(st.booleans()),
        restart_units=tuple(draw(st.lists(st.sampled_from(units), max_size=2)))
        if units
        else (),
    )


@st.composite
def observed_keys(draw: st.DrawFn, path: str, digests: tuple[str, ...]) -> ObservedKey:
    """Draw what stands at a path; *digests* are some that its content may have."""
    kind = draw(st.sampled_from(KINDS))
    there = kind != "missing"
    numbers = {"root": 0, "bot": 1000, "1000": 1000}
    user, group = draw(st.sampled_from(USERS)), draw(st.sampled_from(USERS))
    return ObservedKey(
        path=path,
        kind=kind,
        digest=draw(st.sampled_from(digests)) if kind == "regular" else "",
        user=user if there else "",
        group=group if there else "",
        uid=numbers[user] if there else -1,
        gid=numbers[group] if there else -1,
        mode=draw(st.sampled_from((0o600, 0o640, 0o644))) if there else 0,
        folder=draw(st.sampled_from(("", "", "", "", "/tmp"))),  # noqa: S108
        in_memory=draw(st.integers(0, 5)) > 0,
    )


@st.composite
def keys(draw: st.DrawFn, units: Iterable[UnitName]) -> Keys:
    """Draw the keys of a host that has *units*."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    known = tuple(sorted(units))
    desired = {name: draw(desired_keys(name, known)) for name in names}
    named = {key.path: name for name, key in desired.items()}
    delivered = draw(st.frozensets(st.sampled_from((*ONCE_OURS, *named))))
    seen = [p for p in {**named, **dict.fromkeys(sorted(delivered))} if draw(_often)]
    return Keys(
        desired=desired,
        observed={
            path: draw(observed_keys(path, _contents(named.get(path, path))))
            for path in seen
        },
        digests=draw(_digests(names)),
        delivered=delivered,
    )


def _contents(name: str) -> tuple[str, ...]:
    return (digest_of(name), digest_of(name), "d" * 64, "")


_often = st.integers(0, 5).map(bool)


@st.composite
def _digests(draw: st.DrawFn, names: list[str]) -> Digests:
    known, problems = {}, {}
    for name in names:
        match draw(st.integers(0, 7)):
            case 0:
                problems[name] = "secrets/it: no such file"
            case 1:
                pass
            case _:
                known[name] = digest_of(name)
    return Digests(known=known, problems=problems)
