"""A unit is loaded from the commit's file, or it is told who put another there."""

import dataclasses

import pytest

from reconciler.model import (
    DesiredUnit,
    DriftKind,
    Effect,
    ObservedUnit,
    StepKind,
    StorePath,
    Verdict,
)
from tests.unit.plan.samples import (
    BOT,
    FAILED,
    GONE,
    NEW,
    OLD,
    OLD_FILE,
    STOPPED,
    have,
    observed,
    one,
    only_drift,
    path_of,
    plan_of,
    step,
    steps,
    told,
    want,
)

CONTROL = f"/run/systemd/system.control/{BOT}"
MASK = {"load_state": "masked", "fragment": "/dev/null", "fragment_path": CONTROL}
EDITED = f"/run/systemd/system/{BOT}.d/override.conf"
UPSTREAM = f"/nix/store/5y5t-systemd-255/example/systemd/system/{BOT}"
VENDOR = f"/lib/systemd/system/{BOT}"
AS_DROP_IN = {
    "fragment": UPSTREAM,
    "drop_ins": (f"/etc/systemd/system/{BOT}.d/overrides.conf",),
    "drop_in_files": (path_of(BOT),),
}


def dropped_in(path: str, real: str | None = None, **fields: object) -> ObservedUnit:
    """Return the unit with one drop-in."""
    return have(drop_ins=(path,), drop_in_files=(real or path,), **fields)


# --- while a switch is due --------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "effect"),
    [
        pytest.param(want(), Effect.RESTART, id="stopped before, started after"),
        pytest.param(want(stop_if_changed=False), Effect.RESTART, id="in place"),
        pytest.param(want(reload_if_changed=True), Effect.RELOAD, id="reloadIfChanged"),
        pytest.param(
            want(reload_if_changed=True, restart_if_changed=False),
            Effect.RELOAD,
            id="reload comes before not at all",
        ),
        pytest.param(want("a.timer"), Effect.RESTART, id="a timer"),
        pytest.param(want("a.mount"), Effect.RESTART, id="a mount"),
        pytest.param(want("-.mount"), Effect.RELOAD, id="the root"),
        pytest.param(want("nix.mount"), Effect.RELOAD, id="the store's file system"),
        pytest.param(want("a.socket"), Effect.NONE, id="a socket"),
        pytest.param(want("a.path"), Effect.NONE, id="a path"),
        pytest.param(want("a.slice"), Effect.NONE, id="a slice"),
        pytest.param(want("multi-user.target"), Effect.NONE, id="multi-user.target"),
        pytest.param(want("web.target"), Effect.START, id="another target"),
        pytest.param(
            want("web.target", only_manual=True), Effect.NONE, id="a target by hand"
        ),
    ],
)
def test_a_changed_active_unit(unit: DesiredUnit, effect: Effect) -> None:
    seen = have(unit.name, fragment=path_of(unit.name, "0ld0"))

    made = one(unit, seen, running=OLD)

    assert told(made) == [(DriftKind.UNIT_CHANGED, unit.name, effect)]
    assert steps(made) == ["build", "copy", "activate", "set-boot"]


@pytest.mark.parametrize(
    "unit", [want(restart_if_changed=False), want(only_manual=True)], ids=str
)
def test_a_restart_that_the_commit_forbids_is_lasting(unit: DesiredUnit) -> None:
    made = one(unit, have(**OLD_FILE), running=OLD)

    assert told(made) == [(DriftKind.UNIT_CHANGED, BOT, Effect.SKIP)]
    assert [drift.lasting for drift in made.drifts] == [False, True]
    # After the switch systemd has the new file; that the process is older is unseen.
    assert one(unit, have()).verdict is Verdict.CONVERGED


@pytest.mark.parametrize(
    ("unit", "seen", "effect"),
    [
        pytest.param(want(), have(**OLD_FILE, **STOPPED), Effect.START, id="stopped"),
        pytest.param(want(), have(**OLD_FILE, **FAILED), Effect.START, id="failed"),
        pytest.param(
            want(wanted=False), have(**OLD_FILE, **STOPPED), Effect.NONE, id="unwanted"
        ),
        pytest.param(
            want(wanted=False), have(**OLD_FILE), Effect.RESTART, id="unwanted, active"
        ),
        pytest.param(
            want(), have(**OLD_FILE, active_state="activating"), Effect.RESTART, id="up"
        ),
        pytest.param(want(path=None), have(**OLD_FILE), Effect.STOP, id="now masked"),
        pytest.param(
            want(path=None), have(**OLD_FILE, **STOPPED), Effect.NONE, id="masked, down"
        ),
        pytest.param(
            want(),
            have(load_state="masked", fragment="/dev/null", **STOPPED),
            Effect.START,
            id="no longer masked",
        ),
        pytest.param(
            want(),
            have(fragment=f"/lib/systemd/system/{BOT}", fragment_path="/lib/systemd/x"),
            Effect.NONE,
            id="a switch passes over what is not in /etc",
        ),
    ],
)
def test_a_changed_unit_by_its_state(
    unit: DesiredUnit, seen: ObservedUnit, effect: Effect
) -> None:
    made = one(unit, seen, running=OLD)

    assert told(made) == [(DriftKind.UNIT_CHANGED, BOT, effect)]


@pytest.mark.parametrize(
    ("service", "effect"),
    [
        pytest.param(want(wanted=False), Effect.STOP, id="its socket starts it"),
        pytest.param(want(), Effect.RESTART, id="a target starts it"),
        pytest.param(
            want(wanted=False, stop_if_changed=False), Effect.RESTART, id="in place"
        ),
    ],
)
def test_a_changed_service_with_a_socket(service: DesiredUnit, effect: Effect) -> None:
    socket = "withinbot.socket"

    made = plan_of(
        [service, want(socket)], observed(have(**OLD_FILE), have(socket), running=OLD)
    )

    assert told(made) == [(DriftKind.UNIT_CHANGED, BOT, effect)]


@pytest.mark.parametrize(
    ("unit", "effect"),
    [(want(), Effect.START), (want(wanted=False), Effect.NONE)],
    ids=["wanted", "unwanted"],
)
@pytest.mark.parametrize("seen", [[], [have(**GONE)]], ids=["unseen", "not found"])
def test_a_new_unit(
    unit: DesiredUnit, effect: Effect, seen: list[ObservedUnit]
) -> None:
    made = one(unit, *seen, running=OLD)

    assert told(made) == [(DriftKind.UNIT_MISSING, BOT, effect)]
    assert steps(made) == ["build", "copy", "activate", "set-boot"]


def test_what_a_switch_would_not_start_is_started_after_it() -> None:
    units = [want(), want("broken.service"), want("masked.service")]
    seen = observed(
        have(**STOPPED),
        have("broken.service", **FAILED),
        have("masked.service", **{**MASK, **STOPPED}),
        running=OLD,
    )

    assert steps(plan_of(units, seen)) == [
        "build",
        "copy",
        "activate",
        "unmask masked.service",
        "restart broken.service",
        "start masked.service",
        "start withinbot.service",
        "set-boot",
    ]


# --- when the system is the desired one ---------------------------------------------


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(have(**AS_DROP_IN), id="the commit's unit is a drop-in"),
        pytest.param(
            dropped_in(f"/etc/systemd/system/{BOT}.d/x.conf", "/nix/store/pkg/x.conf"),
            id="a package's drop-in",
        ),
        pytest.param(
            dropped_in(f"/usr/lib/systemd/system/{BOT}.d/x.conf"), id="a vendor's"
        ),
        pytest.param(
            dropped_in(f"/run/systemd/generator.late/{BOT}.d/x.conf"),
            id="generated",
        ),
        pytest.param(
            dropped_in("/run/systemd/system/service.d/zzz-lxc-service.conf"),
            id="one for all services, as in LXC guests",
        ),
    ],
)
def test_drop_ins_that_are_no_overrides(seen: ObservedUnit) -> None:
    assert one(want(), seen).verdict is Verdict.CONVERGED


@pytest.mark.parametrize(
    "path",
    [
        EDITED,
        f"/etc/systemd/system.control/{BOT}.d/50-MemoryMax.conf",
        f"/run/systemd/system.control/{BOT}.d/50-CPUWeight.conf",
        "/run/systemd/system/withinbot-.service.d/x.conf",
    ],
)
@pytest.mark.parametrize("real", [None, "/nix/store/x/x.conf"], ids=["file", "link"])
def test_a_drop_in_by_hand_is_removed_and_the_unit_restarted(
    path: str, real: str | None
) -> None:
    made = one(want(), dropped_in(path, real))

    assert told(made) == [(DriftKind.UNIT_OVERRIDDEN, BOT, Effect.RESTART)]
    assert made.steps == (
        step(StepKind.REVERT, files=(path,)),
        step(StepKind.RESTART),
    )


@pytest.mark.parametrize(
    ("unit", "fields", "then"),
    [
        pytest.param(want(), STOPPED, ["start"], id="stopped"),
        pytest.param(want(), FAILED, ["restart"], id="failed"),
        pytest.param(want(wanted=False), STOPPED, [], id="unwanted"),
        pytest.param(want(reload_if_changed=True), {}, ["reload"], id="reload only"),
        pytest.param(want(restart_if_changed=False), {}, [], id="not to be restarted"),
        pytest.param(want(only_manual=True), {}, [], id="by hand only"),
    ],
)
def test_what_follows_on_removing_an_override(
    unit: DesiredUnit, fields: dict[str, object], then: list[str]
) -> None:
    made = one(unit, dropped_in(EDITED, None, **fields))

    assert [s.kind.value for s in made.steps] == ["revert", *then]


def test_a_whole_file_by_hand_is_removed() -> None:
    made = one(want(), have(fragment=CONTROL, fragment_path=CONTROL))

    assert made.steps == (
        step(StepKind.REVERT, files=(CONTROL,)),
        step(StepKind.RESTART),
    )


def test_a_unit_masked_by_hand_is_unmasked_and_started() -> None:
    made = one(want(), have(**{**MASK, **STOPPED}))

    assert made.steps == (step(StepKind.UNMASK, files=(CONTROL,)), step(StepKind.START))


def test_a_mask_changes_nothing_in_a_process_that_runs() -> None:
    assert one(want(), have(**MASK)).steps == (step(StepKind.UNMASK, files=(CONTROL,)),)


def test_a_mask_that_systemd_does_not_name_is_looked_for() -> None:
    made = one(want(), have(**{**MASK, "fragment_path": "/dev/null"}))

    assert made.steps[0].files == (
        f"/etc/systemd/system.control/{BOT}",
        CONTROL,
        f"/run/systemd/transient/{BOT}",
    )


def test_a_file_out_of_reach_is_told() -> None:
    path = f"/usr/local/lib/systemd/system/{BOT}.d/x.conf"

    made = one(want(), dropped_in(path))

    assert (made.verdict, made.steps) == (Verdict.REPORTED, ())
    assert path in made.reason


def test_a_mask_of_the_kernel_command_line_is_told() -> None:
    forced = f"/run/systemd/generator.early/{BOT}"

    made = one(want(), have(**{**MASK, **STOPPED, "fragment_path": forced}))

    assert told(made) == [(DriftKind.UNIT_OVERRIDDEN, BOT, Effect.NONE)]
    assert made.verdict is Verdict.REPORTED


def test_files_that_systemd_has_not_read_are_read() -> None:
    made = one(want(), have(needs_reload=True))

    assert made.steps == (step(StepKind.REVERT),)


@pytest.mark.parametrize(
    ("seen", "kind", "told_steps"),
    [
        pytest.param(
            have(**GONE), "missing", ["activate", f"start {BOT}"], id="file is gone"
        ),
        pytest.param(have(**OLD_FILE), "overridden", ["activate"], id="an older file"),
        pytest.param(
            have(
                fragment=UPSTREAM, fragment_path=f"/lib/systemd/system/{BOT}", **STOPPED
            ),
            "overridden",
            ["activate", f"start {BOT}"],
            id="the package's file",
        ),
    ],
)
def test_etc_is_put_back_by_activating_the_running_system(
    seen: ObservedUnit, kind: str, told_steps: list[str]
) -> None:
    made = one(want(), seen)

    assert only_drift(made).kind.value == f"unit-{kind}"
    assert (made.verdict, steps(made)) == (Verdict.HEAL, told_steps)


def test_an_alias_of_another_declared_unit_is_that_unit() -> None:
    main, alias = want("main.service"), want("alias.service")
    seen = observed(
        have("main.service"), have("alias.service", fragment=path_of("main.service"))
    )

    assert plan_of([main, alias], seen).verdict is Verdict.CONVERGED


# --- masked by the commit -----------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "kind", "told_steps"),
    [
        pytest.param(
            have(load_state="masked", fragment="/dev/null"),
            DriftKind.UNIT_EXTRA,
            [f"stop {BOT}"],
            id="masked, and it runs",
        ),
        pytest.param(
            have(fragment=CONTROL, fragment_path=CONTROL),
            DriftKind.UNIT_OVERRIDDEN,
            [f"revert {BOT}", f"stop {BOT}"],
            id="brought back by hand",
        ),
    ],
)
def test_what_the_commit_masks_does_not_run(
    seen: ObservedUnit, kind: DriftKind, told_steps: list[str]
) -> None:
    made = one(want(path=None), seen)

    assert (only_drift(made).kind, steps(made)) == (kind, told_steps)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(have(**{**MASK, **STOPPED}), id="masked and down"),
        pytest.param(have(**GONE), id="without a file"),
        pytest.param(have(fragment=UPSTREAM), id="a package's unit runs all the same"),
    ],
)
def test_what_the_commit_masks_is_left_alone(seen: ObservedUnit) -> None:
    assert one(want(path=None), seen).verdict is Verdict.CONVERGED


# --- units that the commit does not declare -----------------------------------------

LEFT = have("old.service")
VANISHED = dataclasses.replace(
    LEFT, fragment="/nix/store/abc-system-units/old.service", needs_reload=True
)


@pytest.mark.parametrize("seen", [LEFT, VANISHED], ids=["file there", "file gone"])
def test_a_removed_unit_is_stopped_by_the_switch(seen: ObservedUnit) -> None:
    made = plan_of([], observed(seen, running=OLD))

    assert told(made) == [(DriftKind.UNIT_EXTRA, "old.service", Effect.STOP)]
    assert steps(made) == ["build", "copy", "activate", "set-boot"]


@pytest.mark.parametrize("seen", [LEFT, VANISHED], ids=["file there", "file gone"])
def test_a_unit_left_over_is_stopped(seen: ObservedUnit) -> None:
    made = plan_of([], observed(seen))

    assert (made.verdict, steps(made)) == (Verdict.HEAL, ["stop old.service"])


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(have("x.service", **GONE), id="nothing known of it"),
        pytest.param(
            have("x.service", **{**GONE, "active_state": "active"}),
            id="active, its file gone and systemd told: whose it was is unknown",
        ),
        pytest.param(
            have("x.service", fragment="/nix/store/5y5t-systemd-255/example/x.service"),
            id="from the systemd package",
        ),
        pytest.param(
            have("x.service", fragment="/nix/store/abc-unit-x/lib/systemd/x.service"),
            id="from a package whose name looks like a unit",
        ),
        pytest.param(
            have(
                "x.service",
                fragment="/lib/systemd/system/x.service",
                fragment_path="/lib/systemd/system/x.service",
            ),
            id="from the distribution",
        ),
        pytest.param(
            have("x.service", fragment_path="/run/systemd/system/x.service"),
            id="a store path that somebody linked elsewhere",
        ),
        pytest.param(
            have("x.service", fragment_path="/etc/systemd-mutable/system/x.service"),
            id="a store path in a place that another tool keeps",
        ),
        pytest.param(
            have(
                "run-r1.service",
                fragment="/run/systemd/transient/run-r1.service",
                fragment_path="/run/systemd/transient/run-r1.service",
            ),
            id="transient",
        ),
    ],
)
@pytest.mark.parametrize("running", [OLD, None], ids=["switching", "in sync"])
def test_what_no_system_put_there_is_never_ours(
    seen: ObservedUnit, running: str | None
) -> None:
    made = plan_of([], observed(seen, **({"running": running} if running else {})))

    assert told(made) == []


@pytest.mark.parametrize(
    ("seen", "running", "kinds"),
    [
        pytest.param(
            have("w@.service", **GONE), OLD, [DriftKind.UNIT_MISSING], id="new"
        ),
        pytest.param(
            have("w@.service", **OLD_FILE, **STOPPED),
            OLD,
            [DriftKind.UNIT_CHANGED],
            id="changed",
        ),
        pytest.param(have("w@.service", **STOPPED), OLD, [], id="unchanged"),
        pytest.param(have("w@.service", **GONE), NEW, [], id="no switch is due"),
    ],
)
def test_a_template_is_told_of_while_a_switch_is_due(
    seen: ObservedUnit, running: StorePath, kinds: list[DriftKind]
) -> None:
    made = one(want("w@.service", wanted=False), seen, running=running)

    assert told(made) == [(kind, "w@.service", Effect.NONE) for kind in kinds]


def test_instances_belong_to_their_template() -> None:
    instance = have("w@1.service", fragment=path_of("w@.service"))
    older = dataclasses.replace(instance, fragment=path_of("w@.service", "0ld0"))
    template = want("w@.service", wanted=False)

    assert one(template, instance).verdict is Verdict.CONVERGED
    assert (
        one(
            template, have("w@1.service", fragment=path_of("w@.service"), **FAILED)
        ).drifts
        == ()
    )
    file = have("w@.service", **STOPPED)
    assert told(one(template, file, instance, running=OLD)) == []
    assert told(one(template, file, older, running=OLD)) == [
        (DriftKind.UNIT_CHANGED, "w@1.service", Effect.RESTART)
    ]
    assert told(plan_of([], observed(older, running=OLD))) == [
        (DriftKind.UNIT_EXTRA, "w@1.service", Effect.STOP)
    ]
