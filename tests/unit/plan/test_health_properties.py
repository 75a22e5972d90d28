"""What every verdict of the health gate promises, whatever the hosts say."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import DesiredUnit, Observed, ObservedUnit, UnitName
from reconciler.plan import Baseline, Problem, judge, still_moving
from reconciler.plan.states import should_be_active
from tests.support.strategies import World, units, worlds

T = TypeVar("T")

BREAKS: list[dict[str, object]] = [
    {"active_state": "failed", "sub_state": "failed", "result": "exit-code"},
    {"active_state": "inactive", "sub_state": "dead"},
    {
        "active_state": "activating",
        "sub_state": "auto-restart",
        "result": "exit-code",
    },
    {"active_state": "activating", "sub_state": "start"},
    {"restarts": 1_000_000},
    {"invocation": "another"},
    {"load_state": "bad-setting"},
]


def backwards(mapping: Mapping[UnitName, T]) -> dict[UnitName, T]:
    return dict(reversed(mapping.items()))


def healthy(want: DesiredUnit) -> ObservedUnit:
    """Return a unit that is loaded as it should be and is up."""
    return ObservedUnit(
        name=want.name,
        load_state="loaded" if want.path else "masked",
        active_state="active" if want.path else "inactive",
        sub_state="running",
        result="success",
        fragment=want.path or "/dev/null",
        fragment_path=f"/etc/systemd/system/{want.name}",
        condition_at=1.0,
        restarts=2,
        invocation="one",
    )


def on_target(world: World, found: Mapping[UnitName, ObservedUnit]) -> Observed:
    """Return a look at the host of *world* with the desired system and its keys."""
    return dataclasses.replace(
        world.observed,
        running=world.desired.toplevel,
        units=found,
    )


def without_keys(world: World) -> World:
    return dataclasses.replace(
        world, desired=dataclasses.replace(world.desired, keys={})
    )


def in_health(world: World) -> Observed:
    wants = world.desired.units.items()
    return on_target(world, {name: healthy(want) for name, want in wants})


def verdict(
    world: World, before: Observed, early: Observed, now: Observed
) -> tuple[Problem, ...]:
    baseline = Baseline.of(world.desired, before)
    return judge(world.desired, before=baseline, early=early, now=now)


observations = st.tuples(units(), units()).map(lambda pair: (pair[0][1], pair[1][1]))
changes = st.lists(st.sampled_from(BREAKS), max_size=3)


@given(worlds(), observations)
def test_same_input_same_verdict_whatever_the_order(
    world: World, others: tuple[Mapping[UnitName, ObservedUnit], ...]
) -> None:
    early, now = (on_target(world, found) for found in others)
    baseline = Baseline.of(world.desired, world.observed)
    turned = dataclasses.replace(
        world.desired,
        units=backwards(world.desired.units),
        keys=dict(reversed(world.desired.keys.items())),
    )

    again = judge(
        turned,
        before=Baseline.from_json(baseline.to_json()),
        early=dataclasses.replace(early, units=backwards(early.units)),
        now=dataclasses.replace(now, units=backwards(now.units)),
    )

    assert again == verdict(world, world.observed, early, now)
    assert still_moving(turned, now, before=baseline) == still_moving(
        world.desired, now, before=baseline
    )


@given(worlds().map(without_keys))
def test_a_host_where_all_is_well_has_no_problem(world: World) -> None:
    look = in_health(world)

    assert verdict(world, look, look, look) == ()
    baseline = Baseline.of(world.desired, look)
    assert still_moving(world.desired, look, before=baseline) == ()


@given(worlds().map(without_keys))
def test_a_host_that_did_not_change_has_no_problem(world: World) -> None:
    """Whatever is broken on it was so before."""
    look = on_target(world, world.observed.units)
    known = {name for name in world.desired.units if _is_loaded(look.units.get(name))}

    problems = verdict(world, look, look, look)

    assert not {problem.unit for problem in problems} & known


def _is_loaded(have: ObservedUnit | None) -> bool:
    return have is not None and have.load_state != "not-found"


@given(worlds().map(without_keys), st.data(), st.sampled_from(BREAKS))
def test_to_break_any_wanted_unit_is_a_problem_that_names_it(
    world: World, data: st.DataObject, broken: dict[str, object]
) -> None:
    well = in_health(world)
    wanted = [n for n, want in world.desired.units.items() if should_be_active(want)]
    if not wanted:
        return
    name = data.draw(st.sampled_from(sorted(wanted)))
    hurt = dataclasses.replace(well.units[name], **broken)  # type: ignore[arg-type]
    now = dataclasses.replace(well, units={**well.units, name: hurt})

    problems = verdict(world, well, well, now)

    assert [problem.unit for problem in problems] == [name]
    assert name in problems[0].text


@given(worlds().map(without_keys), st.data(), st.sampled_from(BREAKS), changes)
def test_what_was_broken_before_and_is_untouched_is_no_problem(
    world: World,
    data: st.DataObject,
    broken: dict[str, object],
    more: list[dict[str, object]],
) -> None:
    well = in_health(world)
    wanted = [n for n, want in world.desired.units.items() if should_be_active(want)]
    if not wanted or "invocation" in broken:  # a run of its own is nothing broken
        return
    name = data.draw(st.sampled_from(sorted(wanted)))
    hurt = dataclasses.replace(
        well.units[name],
        **{"condition_at": well.clock, **broken},  # type: ignore[arg-type]
    )
    before = dataclasses.replace(well, units={**well.units, name: hurt})
    for change in more:
        hurt = dataclasses.replace(hurt, **change)  # type: ignore[arg-type]
    now = dataclasses.replace(well, units={**well.units, name: hurt})

    assert verdict(world, before, before, now) == ()


@given(worlds())
def test_a_baseline_comes_back_as_it_was_stored(world: World) -> None:
    baseline = Baseline.of(world.desired, world.observed)

    assert Baseline.from_json(baseline.to_json()) == baseline
