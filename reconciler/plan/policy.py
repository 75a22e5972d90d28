"""What is done about the differences: the verdict, and the steps it leaves."""

from reconciler.model import (
    Desired,
    Digests,
    Drift,
    DriftKind,
    HostName,
    Known,
    Mode,
    Observed,
    Plan,
    Policy,
    Reboot,
    Step,
    StepKind,
    StorePath,
    Verdict,
)
from reconciler.plan.diff import NO_DIGESTS, findings
from reconciler.plan.guards import removes_too_much, switched_by_somebody
from reconciler.plan.steps import steps_of

_ACTING = frozenset({Verdict.DEPLOY, Verdict.HEAL})
_REBOOT = Step(kind=StepKind.REBOOT)
_OF_COMMITS = frozenset({DriftKind.SYSTEM, DriftKind.BOOT})


def plan(
    desired: Desired,
    observed: Observed,
    *,
    known: Known,
    policy: Policy,
    digests: Digests = NO_DIGESTS,
) -> Plan:
    """
    Return what differs on a host and the steps that close it.

    Pure: the same values give the same plan, whatever the order of mappings. Only a
    plan to deploy or heal has steps. Without *digests* of its keys a host with keys is
    never in sync.
    """
    found = findings(desired, observed, known, digests)
    drifts = tuple(finding.drift for finding in found)
    if strange := stranger(observed, known):
        verdict, reason = Verdict.BLOCKED, strange
    else:
        verdict, reason = _judge(desired, observed, drifts, known, policy)
    steps = steps_of(found, again=verdict is Verdict.DEPLOY)
    if verdict is Verdict.HEAL and not any(drift.is_open for drift in drifts):
        steps = (_REBOOT,)
    if verdict is Verdict.HEAL and not steps:
        verdict, reason = Verdict.REPORTED, _nothing_helps(drifts)
    return Plan(
        host=desired.host,
        target=desired.toplevel,
        verdict=verdict,
        drifts=drifts,
        steps=steps if verdict in _ACTING else (),
        reason=reason,
    )


def unreachable(host: HostName, target: StorePath, reason: str) -> Plan:
    """Return the plan for a host that did not answer; *reason* says why, for people."""
    drift = Drift(kind=DriftKind.UNREACHABLE, desired="answers", observed=reason)
    return Plan(
        host=host,
        target=target,
        verdict=Verdict.BLOCKED,
        drifts=(drift,),
        reason=reason,
    )


def unaddressed(host: HostName, target: StorePath, reason: str) -> Plan:
    """Return the plan for a host of which nobody says where it is."""
    return Plan(host=host, target=target, verdict=Verdict.NO_ADDRESS, reason=reason)


def _judge(
    desired: Desired,
    observed: Observed,
    drifts: tuple[Drift, ...],
    known: Known,
    policy: Policy,
) -> tuple[Verdict, str]:
    """
    Return the verdict on a host that may be touched, and its reason.

    The first that applies:

    1. Nothing open: CONVERGED, also for a host that is held; or HEAL, if a reboot is
       due and nothing of what follows forbids it.
    2. Held by a person: HELD.
    3. This system failed here before: QUARANTINED.
    4. The policy says to look only: REPORTED.
    5. Somebody else is switching the host just now, or the system takes away more than
       may go unasked: BLOCKED, unless the policy says below not to heal.
    6. A commit changes the host: DEPLOY, which closes all other drift with it.
    7. The host changed by itself or by hand: HEAL, or REPORTED if the policy says so.
    """
    forbidden = _forbidden(desired.host, known, policy)
    blocked = switched_by_somebody(observed)
    if not any(drift.is_open for drift in drifts):
        may = not (forbidden or blocked) and _wants_reboot(drifts, known, policy)
        return (Verdict.HEAL if may else Verdict.CONVERGED), ""
    if forbidden:
        return forbidden
    by_commit = _caused_by_commit(desired, drifts, known)
    if not by_commit and not policy.heal:
        reason = "no commit caused this, and the policy says not to heal"
        return Verdict.REPORTED, reason
    blocked = blocked or removes_too_much(desired, drifts, known, policy)
    if blocked and not known.under_way:
        return Verdict.BLOCKED, blocked
    return (Verdict.DEPLOY if by_commit else Verdict.HEAL), ""


def _wants_reboot(drifts: tuple[Drift, ...], known: Known, policy: Policy) -> bool:
    """
    Return whether the host is to be rebooted.

    Once for one system: if it still runs old parts after that, another reboot would
    change nothing, for ever.
    """
    needed = any(drift.kind is DriftKind.REBOOT_NEEDED for drift in drifts)
    allowed = policy.reboot is Reboot.ALLOWED
    return needed and allowed and not known.rebooted and not known.under_way


def stranger(observed: Observed, known: Known) -> str:
    """Return why this is not the host that we know, or an empty text."""
    host = observed.host
    if known.machine_id not in (None, observed.machine_id):
        return (
            f"another machine answers as {host} (machine id"
            f" {observed.machine_id or 'none'}, known is {known.machine_id});"
            f" if that is right, run: reconciler trust {host}"
        )
    if observed.running is None:
        return (
            f"{host} does not run NixOS (it has no /run/current-system);"
            " install NixOS on it first"
        )
    return ""


def _forbidden(
    host: HostName, known: Known, policy: Policy
) -> tuple[Verdict, str] | None:
    """Return which order forbids to touch the host, if any does."""
    if known.under_way:
        return None
    if known.hold is not None:
        return Verdict.HELD, f"held: {known.hold}"
    if known.quarantine is not None:
        return Verdict.QUARANTINED, _failed_before(host, known.quarantine)
    if policy.mode is Mode.REPORT:
        return Verdict.REPORTED, "the policy says to report only"
    return None


def _failed_before(host: HostName, how: str) -> str:
    return (
        "this system failed here before and is not tried again by itself (to do so,"
        f" run: reconciler retry {host}): {how}"
    )


def _caused_by_commit(
    desired: Desired, drifts: tuple[Drift, ...], known: Known
) -> bool:
    """
    Return whether a commit, and not the host, is behind the difference.

    It is, as long as the desired system was not brought to the host for good: an
    attempt that was cut short after the switch has the boot default still to set. A
    host that left a system which was applied did so by itself or by hand.
    """
    unfinished = known.applied != desired.toplevel
    return unfinished and any(drift.kind in _OF_COMMITS for drift in drifts)


def _nothing_helps(drifts: tuple[Drift, ...]) -> str:
    """Say which drifts have no step, and what is seen of each."""
    told = [f"{_name(drift)} {drift.observed}" for drift in drifts if drift.is_open]
    return f"no step closes this: {'; '.join(told)}"


def _name(drift: Drift) -> str:
    of_key = drift.kind in (DriftKind.KEY_MISSING, DriftKind.KEY_CHANGED)
    return f"key {drift.subject}" if of_key else drift.subject
