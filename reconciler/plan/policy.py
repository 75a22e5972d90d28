"""What is done about the differences: the verdict, and the steps it leaves."""

from dataclasses import replace

from reconciler.model import (
    OF_SECRETS,
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
    SystemKind,
    Verdict,
)
from reconciler.plan.diff import NO_DIGESTS, findings
from reconciler.plan.guards import (
    driven_by_another,
    goes_down,
    removes_too_much,
    switched_by_somebody,
    told_alike,
    told_shared,
    waits_for_adoption,
)
from reconciler.plan.path import only_path
from reconciler.plan.rules import with_policy
from reconciler.plan.secrets import cannot_decrypt
from reconciler.plan.specialisation import (
    is_specialised,
    runs,
    variant_warnings,
    wanted_variant,
)
from reconciler.plan.ssh import ssh_warnings
from reconciler.plan.steps import steps_of

_ACTING = frozenset({Verdict.DEPLOY, Verdict.HEAL})
_REBOOT = Step(kind=StepKind.REBOOT)
_JUDGE = Step(kind=StepKind.JUDGE)
_BOOT = Step(kind=StepKind.BOOT)
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
    ruled = with_policy(desired, policy)
    wanted = wanted_variant(desired, observed, policy)
    found = findings(ruled, observed, known, digests, wanted=wanted)
    drifts = tuple(finding.drift for finding in found)
    if strange := stranger(observed, known):
        verdict, reason = Verdict.BLOCKED, strange
    else:
        verdict, reason = _judge(desired, observed, drifts, known, policy)
    steps = steps_of(found, again=verdict is Verdict.DEPLOY)
    waits_for = None
    if verdict is Verdict.HEAL and not any(drift.is_open for drift in drifts):
        due = _wants_reboot(observed, drifts, known, policy)
        steps = (_REBOOT,) if due else (_JUDGE,)
        waits_for = _whose_turn(desired.host, known)
    if waits_for is not None:
        verdict = Verdict.CONVERGED
    if verdict is Verdict.HEAL and not steps:
        verdict, reason = Verdict.REPORTED, _nothing_helps(drifts)
    made = Plan(
        host=desired.host,
        target=desired.toplevel,
        verdict=verdict,
        drifts=drifts,
        steps=steps if verdict in _ACTING else (),
        reason=reason,
        waits_for=waits_for,
        only_path=only_path(desired, drifts, known),
        warnings=(
            *variant_warnings(desired, observed, wanted),
            *_warnings(desired, observed, known, reason),
        ),
        specialisation=wanted,
    )
    if desired.kind is SystemKind.SYSTEM_MANAGER:
        return made  # nothing of it is what a host boots
    return _booted_into(made, known, policy)


def _booted_into(made: Plan, known: Known, policy: Policy) -> Plan:
    """
    Return a plan that boots the host into a system that refused to be switched to.

    Where the policy allows it, and as one of the fleet at a time. Only for a commit:
    what fails is in quarantine then, which healing never is, so that it would reboot
    again and again. Of a specialisation, its system is booted first.
    """
    activates = any(step.kind is StepKind.ACTIVATE for step in made.steps)
    allowed = policy.reboot is Reboot.ALLOWED and made.verdict is Verdict.DEPLOY
    if not (activates and known.refused and allowed):
        return made
    other = _whose_turn(made.host, known)
    if other is not None:
        reason = (
            f"this system has to be booted into, which waits for {other}, whose turn it"
            " is to be rebooted"
        )
        return replace(
            made, verdict=Verdict.BLOCKED, steps=(), waits_for=other, reason=reason
        )
    steps = (_BOOT if one.kind is StepKind.ACTIVATE else one for one in made.steps)
    return replace(made, steps=tuple(steps), specialisation="")


def _warnings(
    desired: Desired, observed: Observed, known: Known, reason: str
) -> tuple[str, ...]:
    """
    Return what the host may lose by its new system; nothing once that runs.

    What is the *reason* why it is not touched is not told twice.
    """
    if observed.is_strange or runs(desired, observed):
        return ()
    told = (
        *ssh_warnings(desired, known.former),
        cannot_decrypt(desired, known),
        known.unbuildable,
    )
    return tuple(one for one in told if one and one != reason)


def _closed_secrets(desired: Desired, drifts: tuple[Drift, ...], known: Known) -> str:
    """Return why a system is not to be brought to a host whose secrets it needs."""
    switches = any(drift.kind is DriftKind.SYSTEM and drift.is_open for drift in drifts)
    return cannot_decrypt(desired, known) if switches else ""


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
       due, or one is to be judged, and nothing of what follows forbids it, nor that a
       person chose a specialisation, which a reboot would end.
    2. Held by a person: HELD.
    3. This system failed here before: QUARANTINED.
    4. The policy says to look only: REPORTED.
    5. The host goes down, somebody else is switching it just now, another reconciler
       drives it, or the system takes away more than may go unasked, or needs secrets
       that the host cannot decrypt: BLOCKED; or nobody has given the host to us:
       UNADOPTED. Unless what follows says that it is left as it is.
    6. A commit changes the host: DEPLOY, which closes all other drift with it.
    7. The host changed by itself or by hand: HEAL; or REPORTED if the policy says so,
       or it has another system and updates itself.
    """
    forbidden = _forbidden(desired.host, known, policy)
    blocked = _blocked(observed, known, policy)
    if not any(drift.is_open for drift in drifts):
        may = not (forbidden or blocked or is_specialised(desired, observed))
        due = _wants_reboot(observed, drifts, known, policy) or _judges(
            desired, observed, drifts, known
        )
        return (Verdict.HEAL if may and due else Verdict.CONVERGED), ""
    if forbidden:
        return forbidden
    by_commit = _caused_by_commit(desired, drifts, known)
    if not by_commit and (
        others := _left_to_others(desired, observed, drifts, known, policy)
    ):
        return Verdict.REPORTED, f"no commit caused this, and {others}"
    reason = removes_too_much(desired, drifts, known, policy)
    if reason := reason or _closed_secrets(desired, drifts, known):
        blocked = blocked or (Verdict.BLOCKED, reason)
    if blocked and not known.under_way:
        return blocked
    return (Verdict.DEPLOY if by_commit else Verdict.HEAL), ""


def _wants_reboot(
    observed: Observed, drifts: tuple[Drift, ...], known: Known, policy: Policy
) -> bool:
    """
    Return whether the host is to be rebooted.

    Once for one system: if it still runs old parts after that, another reboot would
    change nothing, for ever. One that was asked to, and never went down, is asked
    again.
    """
    needed = any(drift.kind is DriftKind.REBOOT_NEEDED for drift in drifts)
    allowed = policy.reboot is Reboot.ALLOWED
    turn = known.turn
    mine = turn is not None and turn.host == observed.host
    in_vain = mine and turn is not None and turn.boot_id == observed.boot_id
    once = not known.rebooted or in_vain
    return needed and allowed and once and not known.under_way


def _judges(
    desired: Desired, observed: Observed, drifts: tuple[Drift, ...], known: Known
) -> bool:
    """
    Return whether the host was rebooted, and nobody saw yet that this ended well.

    It has to run what it was booted for: one that booted another system, and was
    switched since, has not shown that the others may be booted.
    """
    turn = known.turn
    if turn is None or turn.host != desired.host or known.under_way:
        return False
    if not turn.begun or turn.boot_id == observed.boot_id:
        return False
    needed = any(drift.kind is DriftKind.REBOOT_NEEDED for drift in drifts)
    return observed.booted == desired.toplevel or not needed


def _whose_turn(host: HostName, known: Known) -> HostName | None:
    """Return which other host is being rebooted, and goes first."""
    turn = known.turn
    return turn.host if turn is not None and turn.host != host else None


def stranger(observed: Observed, known: Known) -> str:
    """Return why this is not the host that we know, or an empty text."""
    host = observed.host
    if known.machine_id not in (None, observed.machine_id):
        return (
            f"another machine answers as {host} (machine id"
            f" {observed.machine_id or 'none'}, known is {known.machine_id});"
            f" if that is right, run: reconciler trust {host}"
        )
    if observed.is_strange:
        return _not_such_a_host(observed)
    if known.shared:
        return told_shared(host, known.shared)
    return told_alike(host, known.alike) if known.alike else ""


def _not_such_a_host(observed: Observed) -> str:
    host = observed.host
    if observed.kind is SystemKind.NIXOS:
        return (
            f"{host} does not run NixOS (it has no /run/current-system);"
            " install NixOS on it first"
        )
    return (
        f"{host} runs NixOS, and its system is one of system-manager's, for other"
        " distributions: make it one of nixosConfigurations, or give it another address"
    )


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


def _left_to_others(
    desired: Desired,
    observed: Observed,
    drifts: tuple[Drift, ...],
    known: Known,
    policy: Policy,
) -> str:
    """Return why what no commit caused is left as it is, or an empty text."""
    if known.under_way:
        return ""
    if not policy.heal:
        return "the policy says not to heal"
    updaters = desired.base.updaters if desired.base else ()
    boots_another = any(one.kind is DriftKind.BOOT and one.is_open for one in drifts)
    if updaters and (boots_another or not runs(desired, observed)):
        return (
            f"the host updates itself ({', '.join(updaters)}): it is left with that"
            " system until a commit brings another one"
        )
    return ""


def _blocked(
    observed: Observed, known: Known, policy: Policy
) -> tuple[Verdict, str] | None:
    """Return what keeps us from the host whatever its system is, if anything does."""
    reason = (
        goes_down(observed)
        or switched_by_somebody(observed)
        or driven_by_another(observed, known)
    )
    if reason:
        return Verdict.BLOCKED, reason
    if unadopted := waits_for_adoption(observed.host, known, policy):
        return Verdict.UNADOPTED, unadopted
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
    if desired.base and desired.base.updaters and known.former is not None:
        # It brings itself what commits say, too.
        unfinished = unfinished and known.former.toplevel != desired.toplevel
    return unfinished and any(
        drift.kind in _OF_COMMITS and drift.is_open for drift in drifts
    )


def _nothing_helps(drifts: tuple[Drift, ...]) -> str:
    """Say which drifts have no step, and what is seen of each."""
    told = [f"{_name(drift)} {drift.observed}" for drift in drifts if drift.is_open]
    return f"no step closes this: {'; '.join(told)}"


def _name(drift: Drift) -> str:
    if drift.kind in (DriftKind.KEY_MISSING, DriftKind.KEY_CHANGED):
        return f"key {drift.subject}"
    return f"secret {drift.subject}" if drift.kind in OF_SECRETS else drift.subject
