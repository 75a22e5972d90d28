"""Whether a host can decrypt what it needs, and what is done where it cannot."""

from dataclasses import replace

import pytest

from reconciler.attempt.health_gate import UnhealthyError, require_mended
from reconciler.model import (
    Desired,
    DesiredSecret,
    DriftKind,
    Effect,
    Known,
    Mode,
    ObservedKey,
    Plan,
    Policy,
    SshServer,
    Verdict,
)
from reconciler.plan import plan, summary_lines
from tests.unit.plan.samples import (
    BOT,
    NEW,
    OLD,
    STOPPED,
    desired,
    have,
    observed,
    told,
    want,
)

OWN = frozenset({"age1keanu", "ssh-ed25519 keanuX", "ssh-rsa keanuR"})
DB = DesiredSecret(
    name="db",
    tool="sops-nix",
    file="secrets/db.yaml",
    path="/run/secrets/db",
    user="root",
    group="root",
    mode=0o400,
    readers=("ed25519",),
    recipients=("age1ann", "age1lufta"),
)
MAIL = replace(
    DB,
    name="mail",
    tool="agenix",
    file="secrets/mail.age",
    path="/run/agenix/mail",
    readers=("rsa", "ed25519"),
    recipients=("ssh-ed25519 annXXX",),
)
BEHIND = observed(running=OLD, profile=OLD)


def made(
    *secrets: DesiredSecret,
    keys: frozenset[str] = OWN,
    known: Known | None = None,
    policy: Policy | None = None,
    **fields: object,
) -> Plan:
    """Plan for a host that is to get a system with *secrets*."""
    wanted = replace(desired(), secrets=secrets, **fields)  # type: ignore[arg-type]
    remembered = replace(known or Known(machine_id="m1"), host_keys=keys)
    return plan(wanted, BEHIND, known=remembered, policy=policy or Policy())


def passes(*secrets: DesiredSecret, **fields: object) -> bool:
    """Return whether a system with *secrets* is deployed without a word."""
    result = made(*secrets, **fields)  # type: ignore[arg-type]
    return result.verdict is Verdict.DEPLOY and not result.warnings


def test_a_system_whose_secrets_the_host_cannot_decrypt_is_not_deployed() -> None:
    result = made(DB, replace(DB, name="db2"), MAIL)

    assert result.verdict is Verdict.BLOCKED
    assert result.steps == ()
    assert result.reason == (
        "its SSH host key cannot decrypt db, db2, mail: add age1keanu to .sops.yaml and"
        " run: sops updatekeys secrets/db.yaml; add its public host key to secrets.nix"
        " for secrets/mail.age and run: agenix --rekey. If it can all the same, run:"
        " reconciler approve lufta"
    )
    assert result.warnings == (), "it is not said twice"


@pytest.mark.parametrize(
    "secret",
    [
        replace(DB, recipients=("age1ann", "age1keanu")),
        replace(DB, recipients=("age1ann", "ssh-ed25519 keanuX")),
        replace(MAIL, recipients=("ssh-ed25519 annXXX", "ssh-ed25519 keanuX")),
        replace(MAIL, recipients=("ssh-rsa keanuR",)),
        replace(DB, recipients=()),
        replace(MAIL, recipients=()),
    ],
    ids=["sops", "sops-ssh", "age", "age-rsa", "sops-untold", "age-untold"],
)
def test_what_the_host_can_decrypt_or_may_is_deployed(secret: DesiredSecret) -> None:
    assert passes(secret)


def test_a_key_that_is_not_recorded_may_be_the_one() -> None:
    only_rsa = frozenset({"ssh-rsa keanuR"})
    only_ed25519 = frozenset({"ssh-ed25519 keanuX", "age1keanu"})
    of_rsa = replace(MAIL, recipients=("ssh-rsa annXXX", "ssh-ed25519 annXXX"))

    assert passes(DB, keys=only_rsa)
    assert passes(MAIL, keys=only_rsa)
    assert passes(of_rsa, keys=only_ed25519)
    # Without a recipient of that type, no key of it can be the one.
    assert not passes(MAIL, keys=only_ed25519)


def test_what_a_person_approved_is_deployed() -> None:
    assert passes(DB, known=Known(machine_id="m1", approved=True))


def test_a_host_that_is_to_get_other_keys_is_not_judged_by_these() -> None:
    server = SshServer(enabled=True, host_keys=("ed25519 /etc/ssh/key",))
    moved = replace(server, host_keys=("ed25519 /persist/key",))
    former: Desired = replace(desired(), ssh=server)
    known = Known(machine_id="m1", former=former)

    assert made(DB, known=known, ssh=moved).verdict is Verdict.DEPLOY
    assert made(DB, known=known, ssh=server).verdict is Verdict.BLOCKED


def test_where_nothing_is_done_anyway_it_is_told_as_a_warning() -> None:
    result = made(DB, policy=Policy(mode=Mode.REPORT))

    assert result.verdict is Verdict.REPORTED
    assert "cannot decrypt db" in result.warnings[0]


def test_a_system_that_runs_is_healed_whatever_its_files_say() -> None:
    wanted = replace(desired(), secrets=(DB,))
    known = Known(applied=NEW, machine_id="m1", host_keys=OWN)

    result = plan(wanted, observed(), known=known, policy=Policy())

    assert (result.verdict, result.warnings) == (Verdict.CONVERGED, ())


# --- afterwards ------------------------------------------------------------------


RIGHT = ObservedKey(
    path=DB.path, kind="regular", user="db", group="keys", mode=0o440, uid=70, gid=96
)
OWNED = replace(DB, user="db", group="96", mode=0o440)


def seen(
    *found: ObservedKey, stopped: bool = False, secret: DesiredSecret = OWNED
) -> Plan:
    """Plan for a host that runs its system, on which *found* is what is there."""
    wanted = replace(desired(want()), secrets=(secret,))
    unit = have(**STOPPED) if stopped else have()
    there = observed(unit, secrets={one.path: one for one in found})
    known = Known(applied=NEW, machine_id="m1")
    return plan(wanted, there, known=known, policy=Policy())


@pytest.mark.parametrize("found", [(RIGHT,), ()], ids=["right", "not-looked-at"])
def test_secrets_that_are_as_declared_are_no_drift(found: tuple[ObservedKey]) -> None:
    assert seen(*found).verdict is Verdict.CONVERGED


@pytest.mark.parametrize(
    ("found", "kind", "line"),
    [
        (
            ObservedKey(path=DB.path, kind="missing"),
            DriftKind.SECRET_MISSING,
            "/run/secrets/db is missing",
        ),
        (
            replace(RIGHT, user="root", uid=0),
            DriftKind.SECRET_PERMISSIONS,
            "root:keys 0440 -> db:96 0440",
        ),
        (
            replace(RIGHT, mode=0o444),
            DriftKind.SECRET_PERMISSIONS,
            "db:keys 0444 -> db:96 0440",
        ),
    ],
    ids=["missing", "owner", "mode"],
)
def test_a_secret_that_is_missing_or_anothers_is_shown(
    found: ObservedKey, kind: DriftKind, line: str
) -> None:
    result = seen(found)

    assert told(result) == [(kind, "db", Effect.NONE)]
    assert (result.verdict, result.steps) == (Verdict.REPORTED, ())
    assert "secret db" in result.reason
    (shown,) = summary_lines(result)
    assert (shown.subject, shown.what) == ("secret db", line)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({}, []),
        ({"/run/secrets": -3.0}, []),
        ({"/run/secrets": 590.0}, []),
        ({"/run/secrets": 7200.0}, ["is 120 min older than the last activation"]),
    ],
)
def test_a_generation_that_an_activation_did_not_renew_is_shown(
    left: dict[str, float], said: list[str]
) -> None:
    """An activation may take its time, and a unit that decrypts tells itself."""
    renewed = replace(OWNED, renewed="/run/secrets")
    of_unit = replace(OWNED, name="other", path="/run/secrets/other")
    wanted = replace(desired(want()), secrets=(renewed, of_unit))
    there = replace(
        observed(have(), secrets={DB.path: RIGHT, of_unit.path: RIGHT}),
        left_behind=left,
    )
    known = Known(applied=NEW, machine_id="m1")

    result = plan(wanted, there, known=known, policy=Policy())

    kind = (DriftKind.SECRET_STALE, "/run/secrets", Effect.NONE)
    assert told(result) == [kind] * len(said)
    assert [line.what.partition(",")[0] for line in summary_lines(result)] == said
    require_mended(result, ())


def test_a_secret_that_nobody_can_bring_keeps_nothing_else_from_healing() -> None:
    missing = ObservedKey(path=DB.path, kind="missing")

    result = seen(missing, stopped=True)
    assert result.verdict is Verdict.HEAL
    with pytest.raises(UnhealthyError, match=BOT):
        require_mended(result, ())
    require_mended(seen(missing), ())


def test_secrets_of_another_system_are_not_judged() -> None:
    wanted = replace(desired(), secrets=(OWNED,))
    there = replace(
        BEHIND, secrets={DB.path: ObservedKey(path=DB.path, kind="missing")}
    )

    result = plan(wanted, there, known=Known(machine_id="m1"), policy=Policy())

    assert {drift.kind for drift in result.drifts} == {DriftKind.SYSTEM}
