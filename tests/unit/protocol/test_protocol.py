"""
The activation protocol, attacked as a model: its promises hold whatever strikes.

The model is in `parts`, `host`, `reconciler` and `world`; `World.check…` there are the
promises. A protocol that is made wrong must be caught, or the checks prove nothing.
`make faults` tries more interleavings than `make test`.
"""

# ruff: noqa: D102 # a rule's name says what it does

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.budget import examples
from tests.unit.protocol.parts import Protocol, Switch, System
from tests.unit.protocol.world import FIRST, World

NEW_KEYS = "keys of the second day"

SYSTEMS = {
    "works": System(name="works", keys=NEW_KEYS),
    "needs no new keys": System(name="needs no new keys"),
    "takes its keys late": System(
        name="takes its keys late", keys=NEW_KEYS, keys_first=False
    ),
    "fails to switch": System(
        name="fails to switch", keys=NEW_KEYS, switch=Switch.FAILS
    ),
    "hangs": System(name="hangs", keys=NEW_KEYS, switch=Switch.HANGS),
    "wants a reboot": System(
        name="wants a reboot", keys=NEW_KEYS, switch=Switch.REBOOT_FIRST
    ),
    "has a broken service": System(
        name="has a broken service", keys=NEW_KEYS, units_run=False
    ),
    "has a broken sshd": System(
        name="has a broken sshd", keys=NEW_KEYS, ssh_works=False
    ),
}
NEWER = System(name="newer", keys="keys of the third day")


class ProtocolMachine(RuleBasedStateMachine):
    """Anything that can happen, in any order; then the faults end and time passes."""

    protocol = Protocol()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(protocol=self.protocol)

    @initialize(
        system=st.sampled_from(list(SYSTEMS.values())), rounds=st.integers(0, 40)
    )
    def push_first(self, system: System, rounds: int) -> None:
        self.world.push(system)
        self.world.go_on(rounds)

    # --- everybody does what they do, in turn or not -----------------------------

    @rule(rounds=st.integers(1, 30))
    def all_go_on(self, rounds: int) -> None:
        self.world.go_on(rounds)

    @rule(steps=st.integers(1, 6))
    def reconciler_goes_on(self, steps: int) -> None:
        for _ in range(steps):
            self.world.reconciler_goes_on()

    @rule(steps=st.integers(1, 6))
    def guardian_goes_on(self, steps: int) -> None:
        for _ in range(steps):
            self.world.guardian_goes_on()

    @rule(steps=st.integers(1, 3))
    def commands_go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.world.command_goes_on()

    @rule(system=st.sampled_from([FIRST, NEWER, *SYSTEMS.values()]))
    def push(self, system: System) -> None:
        self.world.push(system)

    # --- faults ------------------------------------------------------------------

    @rule(starts_again=st.booleans())
    def kill_reconciler(self, *, starts_again: bool) -> None:
        self.world.kill_reconciler()
        if starts_again:
            self.world.start_reconciler()

    @precondition(lambda self: self.world.process is None)
    @rule()
    def start_reconciler(self) -> None:
        self.world.start_reconciler()

    @rule(whole_unit=st.booleans())
    def kill_guardian(self, *, whole_unit: bool) -> None:
        if whole_unit:
            self.world.kill_unit()
        else:
            self.world.kill_guardian()

    @rule(starts_again=st.booleans())
    def cut_power(self, *, starts_again: bool) -> None:
        self.world.cut_power()
        if starts_again:
            self.world.power_on()

    @precondition(lambda self: not self.world.host.on)
    @rule()
    def power_on(self) -> None:
        self.world.power_on()

    @rule()
    def cut_connection(self) -> None:
        self.world.cut_connection()

    @rule()
    def drop_commands(self) -> None:
        self.world.drop_commands()

    @rule()
    def delay_commands(self) -> None:
        self.world.delay_commands()

    @rule()
    def delayed_commands_arrive(self) -> None:
        self.world.delayed_commands_arrive()

    @rule(up=st.booleans())
    def plug_cable(self, *, up: bool) -> None:
        self.world.reconciler.cable = up

    @rule(frozen=st.booleans())
    def freeze(self, *, frozen: bool) -> None:
        self.world.host.frozen = frozen and self.world.host.on

    @rule(locked=st.booleans())
    def somebody_else_switches(self, *, locked: bool) -> None:
        self.world.host.locked = locked and self.world.host.on

    @rule(time=st.sampled_from([5, 15, 30, 100]))
    def time_passes(self, time: int) -> None:
        self.world.let_time_pass(time)

    # --- and then ----------------------------------------------------------------

    @rule()
    def reconciler_stays_away(self) -> None:
        """See that the host gets by without it."""
        self.world.kill_reconciler()
        assert self.world.settle(), "the host never settles"
        self.world.check_left_alone()

    def teardown(self) -> None:
        self.world.start_reconciler()
        assert self.world.settle(), "it never settles"
        self.world.check_settled()


def attack(protocol: Protocol, *, tries: int, shrink: bool) -> None:
    """Attack *protocol* with so many interleavings; AssertionError if it breaks."""
    attacked = type("Attacked", (ProtocolMachine,), {"protocol": protocol})
    run_state_machine_as_test(
        attacked,
        settings=settings(
            max_examples=tries,
            stateful_step_count=30,
            database=None,
            deadline=None,
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.search
def test_it_holds_whatever_strikes() -> None:
    attack(Protocol(), tries=examples(300), shrink=True)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"health_first": False}, id="confirm before health"),
        pytest.param({"boot_default_last": False}, id="boot default first"),
        pytest.param({"deadline": False, "stop_post": False}, id="no guardian"),
        pytest.param({"deadline": False}, id="a guardian that waits for ever"),
        pytest.param({"stop_post": False}, id="no ExecStopPost"),
        pytest.param({"new_connection": False}, id="confirm over the old connection"),
        pytest.param({"counts_silence": False}, id="try for ever what cuts itself off"),
        pytest.param({"serves_last_good": False}, id="forget the former system's keys"),
    ],
)
def test_the_machine_catches_a_wrong_protocol(wrong: dict[str, bool]) -> None:
    with pytest.raises(AssertionError):
        attack(Protocol(**wrong), tries=1000, shrink=False)


# --- one fault, at every step ----------------------------------------------------

Strike = Callable[[World], None]

STEPS = 40  # rounds within which every attempt is over, unless it hangs
FAULTS: tuple[Strike, ...] = (
    World.restart_reconciler,
    World.cut_connection,
    World.drop_commands,
    World.delay_commands,
    World.cut_power,
    World.kill_guardian,
    World.kill_unit,
    World.let_time_pass,
)


def play(
    protocol: Protocol, system: System, rounds: int, *strikes: Strike, alone: bool
) -> None:
    """Push *system*, strike after so many rounds, and check what is promised."""
    world = World(protocol=protocol)
    world.push(system)
    world.go_on(rounds)
    for strike in strikes:
        strike(world)
    if alone:
        world.kill_reconciler()
        assert world.settle(), "the host never settles"
        world.check_left_alone()
    world.start_reconciler()
    assert world.settle(), "it never settles"
    world.check_settled()


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_one_fault_at_every_step(system: System) -> None:
    for rounds, fault in itertools.product(range(STEPS), FAULTS):
        play(Protocol(), system, rounds, fault, alone=False)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_the_reconciler_goes_at_any_step_and_stays_away(system: System) -> None:
    for rounds in range(STEPS):
        play(Protocol(), system, rounds, alone=True)
        play(Protocol(), system, rounds, World.kill_guardian, alone=True)


# --- what the finer points are for -----------------------------------------------


def times(count: int, act: Strike) -> tuple[Strike, ...]:
    """Return *act*, so many times."""
    return (act,) * count


# Why there is a rule -> what leads to harm without it, after so many rounds.
REASONS: dict[str, tuple[str, Sequence[Strike], bool]] = {
    # Both look, nobody has decided, both write.
    "atomic_decision": (
        "works",
        (
            World.let_time_pass,
            *times(2, World.reconciler_goes_on),
            World.command_goes_on,
            *times(3, World.guardian_goes_on),
        ),
        False,
    ),
    # The command to begin arrives after a new process has given the attempt up.
    "buries": (
        "needs no new keys",
        (
            World.delay_commands,
            World.restart_reconciler,
            *times(2, World.reconciler_goes_on),
            World.command_goes_on,
            *times(2, World.reconciler_goes_on),
        ),
        False,
    ),
    # New keys arrive after the guardian has put the old ones back.
    "keys_while_held": (
        "works",
        (
            World.delay_commands,
            World.kill_reconciler,
            World.let_time_pass,
            *times(8, World.guardian_goes_on),
        ),
        True,
    ),
    # The power goes between the profile and the boot loader.
    "outcome_by_what_runs": ("works", (World.reset,), False),
    # We look while the guardian is going back, its deadline being over.
    "blames_its_own_decision": ("works", (World.let_time_pass,), False),
    # Nobody is left to carry out a decision.
    "raises_the_dead": ("works", (World.kill_unit,), False),
}


@pytest.mark.parametrize("rule_", REASONS)
def test_each_rule_has_its_reason(rule_: str) -> None:
    system, strikes, alone = REASONS[rule_]
    without = dataclasses.replace(Protocol(), **{rule_: False})
    broken = []
    for rounds in range(STEPS):
        play(Protocol(), SYSTEMS[system], rounds, *strikes, alone=alone)
        try:
            play(without, SYSTEMS[system], rounds, *strikes, alone=alone)
        except AssertionError as error:
            broken.append(str(error))
    assert broken, "nothing shows what the rule is for"
