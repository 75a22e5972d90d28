"""
The activation protocol, attacked as a model: what it promises holds whatever strikes.

The model is in `parts`, `host`, `reconciler` and `world`, from the top of the host down;
`world.World.check…` are the promises. Each mutant of the protocol must be caught, or the
checks would prove nothing.

``PROTOCOL_EXAMPLES=20000`` tries more interleavings than the default.
"""

# ruff: noqa: D102 # a rule's name says what it does

import dataclasses
import itertools
import os
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

from tests.unit.protocol.parts import Protocol, Switch, System
from tests.unit.protocol.world import FIRST, World

EXAMPLES = int(os.environ.get("PROTOCOL_EXAMPLES", "300"))
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

    @initialize(system=st.sampled_from(list(SYSTEMS.values())), rounds=st.integers(0, 40))
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

    @rule()
    def kill_guardian(self) -> None:
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
        """The host must get by without it."""
        self.world.kill_reconciler()
        assert self.world.settle(), "the host never settles"
        self.world.check_left_alone()

    def teardown(self) -> None:
        self.world.start_reconciler()
        assert self.world.settle(), "it never settles"
        self.world.check_settled()
