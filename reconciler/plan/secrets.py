"""
Secrets that a host decrypts itself with sops-nix or agenix: whether it can, and did.

They are decrypted in the middle of a switch. What is said beforehand is certain, as far
as the commit tells which keys decrypt them; where it does not, nothing is said. What is
missing or old afterwards is only shown: there is nothing that we could deliver.
"""

from collections.abc import Iterable, Iterator

from reconciler.model import (
    Desired,
    DesiredSecret,
    Drift,
    DriftKind,
    Known,
    Observed,
    ObservedKey,
)
from reconciler.plan.keys import MISSING
from reconciler.plan.specialisation import is_specialised, runs
from reconciler.plan.steps import Finding

_NAMED = 5  # how many files are named
_SOPS = "sops-nix"
_ACTIVATION = 600.0
"""Seconds that an activation may take from the secrets to its end."""


def cannot_decrypt(desired: Desired, known: Known) -> str:
    """
    Return which secrets the host cannot read, and what to do; empty if none.

    Nothing is said where none of its keys is known.
    """
    judged = known.host_keys and not known.approved
    if not judged or _gets_other_keys(desired, known.former):
        return ""
    closed = [one for one in desired.secrets if _is_closed(one, known.host_keys)]
    if not closed:
        return ""
    names = ", ".join(one.name for one in closed[:_NAMED])
    more = f" and {len(closed) - _NAMED} more" if len(closed) > _NAMED else ""
    told = "; ".join(_remedies(closed, known.host_keys))
    return (
        f"its SSH host key cannot decrypt {names}{more}: {told}. If it can all the"
        f" same, run: reconciler approve {desired.host}"
    )


def not_judged(desired: Desired) -> str:
    """Return of which secrets nobody here can say who decrypts them; empty if none."""
    whys: dict[str, list[str]] = {}
    for one in desired.secrets:
        if one.unjudged:
            files = whys.setdefault(one.unjudged, [])
            files += [one.file] if one.file not in files else []
    told = [
        f"{', '.join(files[:_NAMED])}{', …' if len(files) > _NAMED else ''}: {why}"
        for why, files in whys.items()
    ]
    return f"cannot be judged whether it decrypts {'; '.join(told)}" if told else ""


def judge_secrets(desired: Desired, observed: Observed) -> list[Finding]:
    """Return what differs in the secrets of the system that a host runs."""
    if not runs(desired, observed) or is_specialised(desired, observed):
        return []
    pairs = ((want, observed.secrets.get(want.path)) for want in desired.secrets)
    drifts = [_drift(want, have) for want, have in pairs if have is not None]
    drifts += _stale(desired, observed)
    return [Finding(drift=drift) for drift in drifts if drift is not None]


def _stale(desired: Desired, observed: Observed) -> Iterator[Drift]:
    """
    Yield the generations that an activation left as they were: it could not decrypt.

    Each one that succeeds sets the link to a new one, a moment before it says which
    system runs.
    """
    for link in dict.fromkeys(one.renewed for one in desired.secrets):
        seconds = observed.left_behind.get(link, 0.0)
        if seconds > _ACTIVATION:
            yield Drift(
                kind=DriftKind.SECRET_STALE,
                subject=link,
                desired="of the last activation",
                observed=f"is {seconds / 60:.0f} min older than the last activation,"
                " which decrypted nothing: /run/current-system/activate says why",
            )


def _drift(want: DesiredSecret, have: ObservedKey) -> Drift | None:
    wanted = f"{want.user}:{want.group} {want.mode:04o}"
    if have.kind == MISSING:
        return Drift(
            kind=DriftKind.SECRET_MISSING,
            subject=want.name,
            desired=wanted,
            observed=f"{want.path} is missing",
        )
    right = (
        want.user in (have.user, str(have.uid))
        and want.group in (have.group, str(have.gid))
        and want.mode == have.mode
    )
    if right:
        return None
    return Drift(
        kind=DriftKind.SECRET_PERMISSIONS,
        subject=want.name,
        desired=wanted,
        observed=f"{have.user}:{have.group} {have.mode:04o}",
    )


def _is_closed(secret: DesiredSecret, names: frozenset[str]) -> bool:
    """
    Return whether a secret is encrypted for others than the keys called *names*.

    A key that could read it, and is not known here, may be among its recipients.
    """
    if not secret.recipients or names.intersection(secret.recipients):
        return False
    return all(
        any(name.startswith(f"{kind} ") for name in names) for kind in _kinds(secret)
    )


def _kinds(secret: DesiredSecret) -> Iterator[str]:
    """Yield the types of SSH keys that could read a secret, as they are recorded."""
    for reader in secret.readers:
        kind = f"ssh-{reader}"
        # Sops names the keys of age that Ed25519 keys are turned into.
        of_sops = secret.tool == _SOPS and reader == "ed25519"
        if of_sops or any(one.startswith(f"{kind} ") for one in secret.recipients):
            yield kind


def _remedies(closed: Iterable[DesiredSecret], names: frozenset[str]) -> Iterator[str]:
    files = {
        tool: _files(closed, tool) for tool in dict.fromkeys(s.tool for s in closed)
    }
    for tool, some in files.items():
        shown = " ".join(some[:_NAMED])
        if tool == _SOPS:
            key = next((name for name in names if name.startswith("age1")), "its key")
            yield f"add {key} to .sops.yaml and run: sops updatekeys {shown}"
        else:
            yield (
                f"add its public host key to secrets.nix for {shown} and run:"
                " agenix --rekey"
            )


def _files(closed: Iterable[DesiredSecret], tool: str) -> list[str]:
    return list(dict.fromkeys(one.file for one in closed if one.tool == tool))


def _gets_other_keys(desired: Desired, former: Desired | None) -> bool:
    """Return whether the host will have keys that nobody here knows yet."""
    if former is None or former.ssh is None or desired.ssh is None:
        return False
    return set(former.ssh.host_keys) != set(desired.ssh.host_keys)
