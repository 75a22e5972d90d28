"""
Whatever happened in whatever order: once faults end, hosts become what git says.

Commits, changes by hand, faults and passes come in random order. After each pass, a
host that was not to be touched was not, and nothing is half recorded. At the end of
each run all faults end; a few passes later every host is as the last commit says.
"""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from reconciler.errors import BuildError, EvaluationError, ReconcilerError
from reconciler.history import Sighting
from reconciler.model import Mode, Outcome, Policy, UnitName, Verdict
from tests.support.budget import examples
from tests.support.scene import Scene
from tests.support.world import FAILED, FIRST, Content, Machine, Services, toplevel_of

HOSTS = ("keanu", "lufta")
BOT, FACTS = "withinbot.service", "printerfacts.service"
ENOUGH = 3  # passes until a host without faults must be in sync
OTHER_ID = "f" * 32

hosts = st.sampled_from(HOSTS)
services = st.dictionaries(st.sampled_from((BOT, FACTS)), st.sampled_from("123"))
good_content = st.fixed_dictionaries(dict.fromkeys(HOSTS, services))
broken = EvaluationError("this does not evaluate")
content = st.fixed_dictionaries(
    dict.fromkeys(HOSTS, services | st.just(broken))
) | st.just(broken)


def stop(machine: Machine, name: UnitName) -> None:
    machine.change(name, active_state="inactive", sub_state="dead")


def fail(machine: Machine, name: UnitName) -> None:
    machine.change(name, **FAILED)


def own_id(host: str) -> str:
    return f"{HOSTS.index(host):032}"


def meet(scene: Scene, host: str) -> None:
    machine = scene.machine(host)
    machine.machine_id = own_id(host)
    now = scene.clock()
    scene.history.machines.meet(
        machine.host,
        Sighting(
            machine_id=machine.machine_id,
            boot_id=machine.boot_id,
            began_at=now,
            ended_at=now,
        ),
    )


def mask(machine: Machine, name: UnitName) -> None:
    stop(machine, name)
    path = f"/run/systemd/system/{name}"
    machine.change(name, load_state="masked", fragment="/dev/null", fragment_path=path)


def override_unit(machine: Machine, name: UnitName) -> None:
    path = f"/etc/systemd/system.control/{name}.d/50-CPUWeight.conf"
    machine.change(name, drop_ins=(path,), drop_in_files=(path,))


def switch_back(machine: Machine, _name: UnitName) -> None:
    machine.running = FIRST
    machine.units.clear()


def boot_another(machine: Machine, _name: UnitName) -> None:
    machine.profile = FIRST


CHOOSING = ("confirm", "set boot default")  # the steps that choose what a host boots

HANDS = (stop, fail, mask, override_unit, switch_back, boot_another)


@settings(
    max_examples=examples(12),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
class Convergence(RuleBasedStateMachine):
    """One process, which now and then begins anew, over two hosts and a repository."""

    @initialize(first=good_content)
    def begin(self, first: Content) -> None:
        """Start with a commit that can be read."""
        self.folder = Path(tempfile.mkdtemp())
        self.scene = Scene(self.folder)
        for host in HOSTS:
            # Who it is was known before the first fault.
            meet(self.scene, host)
        self.scene.commit(first)

    @override
    def teardown(self) -> None:
        """End all faults: now every host must get where the last commit wants it."""
        if not hasattr(self, "scene"):
            return
        try:
            self._converge()
        finally:
            self.scene.close()
            shutil.rmtree(self.folder)

    # --- what happens ------------------------------------------------------------

    @rule(content=content)
    def commit(self, content: Content) -> None:
        """Push."""
        self.scene.push(content)

    @rule()
    def revert(self) -> None:
        """Push what an older commit said."""
        commits = self.scene.mirror.commits
        before = commits[len(commits) // 2]
        self.scene.push(self.scene.mirror.content[before.tree])

    @rule()
    def look(self) -> None:
        """Look at the repository."""
        self._look()

    @rule(away=st.booleans())
    def lose_repository(self, away: bool) -> None:  # noqa: FBT001 -- a drawn value
        """Let the repository be away, or back."""
        self.scene.mirror.away = "Connection refused" if away else ""

    @rule(host=hosts, hand=st.sampled_from(HANDS))
    def change_by_hand(self, host: str, hand: object) -> None:
        """Let somebody change a host."""
        machine = self.scene.machine(host)
        assert callable(hand)
        for name in sorted(machine.units)[:1]:
            hand(machine, name)

    @rule(host=hosts, dies=st.booleans())
    def let_services_die(self, host: str, dies: bool) -> None:  # noqa: FBT001
        """Let a service of a host die at each start from now on, or no longer."""
        self.scene.machine(host).dying = {UnitName(BOT)} if dies else set()

    @rule(host=hosts, status=st.sampled_from((0, 1, 2, 4)))
    def let_switches_fail(self, host: str, status: int) -> None:
        """Let switch-to-configuration exit with some status from now on."""
        self.scene.machine(host).switch_status = status

    @rule(host=hosts, gone=st.booleans())
    def disconnect(self, host: str, gone: bool) -> None:  # noqa: FBT001
        """Let a host be unreachable, or back."""
        machine = self.scene.machine(host)
        machine.failure = None
        if gone:
            machine.disconnect()

    @rule(host=hosts, other=st.booleans())
    def exchange(self, host: str, other: bool) -> None:  # noqa: FBT001
        """Let another machine answer under the name, or the right one."""
        self.scene.machine(host).machine_id = OTHER_ID if other else own_id(host)

    @rule(fails=st.booleans())
    def let_builds_fail(self, fails: bool) -> None:  # noqa: FBT001
        """Let builds fail, or work."""
        error = BuildError("no space left", host="") if fails else None
        self.scene.evaluator.build_error = error

    @rule(seconds=st.sampled_from((1.0, 30.0, 4000.0)))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.scene.clock.advance(seconds)

    @rule(mode=st.sampled_from(Mode), heal=st.booleans())
    def restart(self, mode: Mode, heal: bool) -> None:  # noqa: FBT001
        """Begin as a new process, maybe with another policy."""
        self.scene.restart(Policy(mode=mode, heal=heal))
        self._look()

    @rule(host=hosts)
    def look_at(self, host: str) -> None:
        """Make a pass; a host that must not be touched is as it was."""
        machine = self.scene.machine(host)
        before = dataclasses.replace(machine, units=dict(machine.units))
        attempts = len(self.scene.attempts(host))

        self.scene.run(host)

        if self._forbidden(host):
            assert machine.commands == before.commands
            assert machine.units == before.units
            assert (machine.running, machine.profile) == (
                before.running,
                before.profile,
            )
            assert len(self.scene.attempts(host)) == attempts

    def _forbidden(self, host: str) -> bool:
        machine = self.scene.machine(host)
        reported = self.scene.world.policy.mode is Mode.REPORT
        return reported or machine.machine_id == OTHER_ID or bool(machine.failure)

    # --- what must hold ----------------------------------------------------------

    @invariant()
    def every_attempt_has_ended(self) -> None:
        """Between passes nothing is under way."""
        if hasattr(self, "scene"):
            assert self.scene.history.unfinished() == []

    @invariant()
    def nothing_boots_that_did_not_work(self) -> None:
        """Let a host boot only what ran on it, and was whole, when it was chosen."""
        if not hasattr(self, "scene"):
            return
        for host in HOSTS:
            targets = {
                one.target
                for one in self.scene.attempts(host)
                if any(
                    step.name in ("confirm", "set boot default") for step in one.steps
                )
                and one.outcome is Outcome.SUCCEEDED
            }
            assert self.scene.machine(host).profile in {FIRST, *targets}

    def _look(self) -> None:
        try:
            self.scene.look()
        except ReconcilerError:
            assert self.scene.repository.problem

    def _converge(self) -> None:
        scene = self.scene
        scene.mirror.away = ""
        scene.evaluator.build_error = None
        wanted: dict[str, Services] = {host: {BOT: "9"} for host in HOSTS}
        if isinstance(
            last := scene.mirror.content[scene.mirror.commits[-1].tree], dict
        ):
            wanted |= {h: s for h, s in last.items() if isinstance(s, dict)}
        scene.restart(Policy())
        scene.commit(wanted)
        for host in HOSTS:
            machine = scene.machine(host)
            machine.failure, machine.machine_id = None, own_id(host)
            machine.switch_status, machine.dying = 0, set()
            scene.history.lift(machine.host, now=scene.clock())  # a person's "retry"
            for _ in range(ENOUGH):
                scene.run(host)
                scene.clock.advance(4000)
            self._check(host, wanted[host])

    def _check(self, host: str, services: Services) -> None:
        machine, status = self.scene.machine(host), self.scene.status(host)
        system = toplevel_of(host, services)
        assert (machine.running, machine.profile) == (system, system)
        # A mask over what the commit does not have is nobody's concern.
        found = {
            name: unit.active_state
            for name, unit in machine.units.items()
            if name in services or unit.load_state == "loaded"
        }
        assert found == dict.fromkeys(services, "active")
        assert (status.verdict, status.error) == (Verdict.CONVERGED, "")


TestConvergence = Convergence.TestCase
