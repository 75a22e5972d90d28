"""
How services end, and what systemd and we make of it: on a host that runs systemd.

Each row of the table of ``Restart=`` in systemd.service(5) is tried. A service that
systemd starts again is on its way; one that it leaves has either done its work or
failed, and only the latter is put right.
"""

from collections.abc import Iterator

import pytest
import yaml

from reconciler.errors import FactError
from reconciler.model import (
    Desired,
    DesiredUnit,
    DriftKind,
    HostName,
    Known,
    Observed,
    Policy,
    StorePath,
    Target,
    UnitName,
    Verdict,
)
from reconciler.observed import probe, rounds_end_well
from reconciler.plan import plan
from reconciler.remote import HostReader
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.support.fleet import FleetFactory, FleetHost
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(120)

LUFTA = HostName("lufta")
FOLDER = "/usr/lib/systemd/system"
HOW = {
    "clean": "exec true",
    "clean-signal": "kill -HUP $$$$",
    "unclean": "exec false",
    "signal": "kill -SEGV $$$$",
    "timeout": "exec sleep 60",
    "watchdog": "exec sleep 60",
}
MORE = {
    "timeout": "Type=notify\nTimeoutStartSec=200ms\n",
    "watchdog": "WatchdogSec=200ms\nTimeoutAbortSec=1s\n",
}
# systemd.service(5): after which ends systemd starts a service again.
RESTARTED = {
    "no": (),
    "always": tuple(HOW),
    "on-success": ("clean", "clean-signal"),
    "on-failure": ("unclean", "signal", "timeout", "watchdog"),
    "on-abnormal": ("signal", "timeout", "watchdog"),
    "on-abort": ("signal",),
    "on-watchdog": ("watchdog",),
}
JOURNAL = "systemd-journald.service"
SOON = {"since": 0.0, "deadline": 3.0}
CASES = [(restart, how) for restart in RESTARTED for how in HOW]


class Host:
    """One host, with a service for each case."""

    def __init__(self, host: FleetHost, reader: HostReader) -> None:
        self.host = host
        self.reader = reader

    def write(self, files: dict[str, str]) -> None:
        """Put files of units on the host, wanted by the boot target, and start them."""
        script = [f"mkdir -p {FOLDER}/multi-user.target.wants; cd {FOLDER}"]
        for name, text in files.items():
            script += [f"cat >{name} <<'END'", text, "END"]
            script.append(f"ln -sf ../{name} multi-user.target.wants/")
        script += ["systemctl daemon-reload", f"systemctl start {' '.join(files)}"]
        script.append("true")
        self.host.exec("sh", "-s", stdin="\n".join(script))

    def look(self, *names: str) -> Observed:
        """Ask it as a pass does."""
        return probe(self.reader, map(UnitName, names), now=1.0)


@pytest.fixture(scope="module", params=[12, 13], ids=["systemd 252", "systemd 257"])
def host(request: pytest.FixtureRequest, module_fleet: FleetFactory) -> Iterator[Host]:
    fleet = module_fleet("lufta", debian=request.param)
    settings = SshSettings(**yaml.safe_load(fleet.settings.read_text())["ssh"])
    assert settings.known_hosts is not None
    connections = Connections(settings, known_hosts=settings.known_hosts)
    found = fleet["lufta"]
    target = Target(address=found.address, user=found.user)
    yield Host(found, connections.reader(LUFTA, target))
    connections.close()


def file_of(restart: str, how: str) -> str:
    """Return a service that ends in one way, and that systemd waits to start again."""
    return (
        "[Service]\n"
        f"ExecStart=/bin/sh -c '{HOW[how]}'\n"
        f"Restart={restart}\nRestartSec=1h\n{MORE.get(how, '')}"
    )


def name_of(restart: str, how: str) -> str:
    return f"end-{restart}-{how}.service"


def desired_of(observed: Observed, names: list[str]) -> Desired:
    """Return that exactly these services are wanted, from the files that they have."""
    assert observed.running is not None
    units = {
        UnitName(name): DesiredUnit(
            name=UnitName(name),
            path=StorePath(observed.units[UnitName(name)].fragment),
            wanted=True,
        )
        for name in names
    }
    return Desired(
        host=LUFTA,
        toplevel=observed.running,
        derivation=StorePath("/nix/store/x.drv"),
        units=units,
        target=Target(address="lufta.example"),
    )


@pytest.fixture(scope="module")
def ended(host: Host) -> Observed:
    """Give a look at a host on which every service has ended in its way."""
    names = [name_of(*case) for case in CASES]
    host.write({name_of(*case): file_of(*case) for case in CASES})

    def all_have_ended() -> bool:
        seen = host.look(*names)
        states = {seen.units[UnitName(name)].sub_state for name in names}
        return states <= {"dead", "failed", "auto-restart"}

    wait_until(all_have_ended, 60, "every service to have ended")
    return host.look(*names)


@pytest.mark.parametrize(("restart", "how"), CASES)
def test_every_row_of_the_table_of_restart(
    ended: Observed, restart: str, how: str
) -> None:
    name = name_of(restart, how)
    have = ended.units[UnitName(name)]
    again = how in RESTARTED[restart]
    well = how in ("clean", "clean-signal")

    assert have.restart == restart
    assert (have.sub_state == "auto-restart") is again, "what systemd does"
    assert (have.result == "success") is well
    assert have.finished is (how == "clean" and not again)
    seen = desired_of(ended, [name])
    made = plan(seen, ended, known=Known(applied=seen.toplevel), policy=Policy())
    told = [drift for drift in made.drifts if drift.subject == name]
    steps = [step.kind.value for step in made.steps if step.unit == name]
    if again and well:
        assert told == []
    elif again:
        assert ([d.kind for d in told], steps) == ([DriftKind.UNIT_FAILED], [])
    elif how == "clean":
        assert ([d.lasting for d in told], steps) == ([True], [])
    elif well:
        # Somebody's signal: as if somebody had stopped it.
        assert ([d.kind for d in told], steps) == ([DriftKind.UNIT_STOPPED], ["start"])
    else:
        assert ([d.kind for d in told], steps) == ([DriftKind.UNIT_FAILED], ["restart"])


def test_rounds_are_told_from_crashes_by_the_journal(host: Host) -> None:
    """While it runs, a service that died of a fault looks like any other."""
    ends = {"round.service": "exit 0", "crash.service": "exit 1"}
    host.write(
        {
            name: f"[Service]\nExecStart=/bin/sh -c 'sleep 0.1; {end}'\n"
            "Restart=always\nRestartSec=100ms\nStartLimitIntervalSec=0\n"
            "[Unit]\nStartLimitIntervalSec=0\n"
            for name, end in ends.items()
        }
    )
    began = host.look(*ends)

    def asked() -> frozenset[UnitName]:
        seen = host.look(*ends)
        if any(seen.units[UnitName(n)].restarts < 3 for n in ends):
            return frozenset()
        units = [UnitName(name) for name in ends]
        return rounds_end_well(host.reader, units, since=began.clock, deadline=20)

    found = wait_until(asked, 30, "three rounds of each")

    assert found == {"round.service"}
    later = host.look().clock + 60
    none = rounds_end_well(
        host.reader, [UnitName("round.service")], since=later, deadline=20
    )
    assert none == frozenset(), "of which the journal says nothing, nothing is known"
    host.host.exec("systemctl", "stop", *ends)

    host.host.exec("systemctl", "kill", "--signal=STOP", JOURNAL)
    try:
        with pytest.raises(FactError, match="did not answer in time"):
            rounds_end_well(host.reader, [UnitName("round.service")], **SOON)
    finally:
        host.host.exec("systemctl", "kill", "--signal=CONT", JOURNAL)


def test_what_only_packages_bring_is_known_from_systemd(host: Host) -> None:
    """A drop-in says nothing of Type=, nor of what pulls the unit in."""
    files = {
        "job.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
        "stays.service": (
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
        ),
        "loser.service": "[Service]\nExecStart=/bin/sleep 99\n",
        "winner.service": (
            "[Unit]\nConflicts=loser.service\nAfter=loser.service\n"
            "[Service]\nExecStart=/bin/sleep 99\n"
        ),
        "unmet.service": (
            "[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=/bin/true\n"
        ),
    }
    host.write({name: text for name, text in files.items() if name != "winner.service"})
    host.write({"winner.service": files["winner.service"]})
    names = list(files)
    job = "job.service"
    ended = ("sh", "-c", f"systemctl is-active {job} | grep -qx inactive")
    wait_until(lambda: host.host.exec_status(*ended) == 0, 20, "the job to end")
    seen = host.look(*names)

    units = {name: seen.units[UnitName(name)] for name in names}
    assert all(unit.wanted for unit in units.values())
    assert not seen.units[UnitName("systemd-journald.service")].displaced
    assert units["loser.service"].displaced
    assert units["job.service"].type == "oneshot"
    assert units["stays.service"].remain_after_exit
    aim = desired_of(seen, names)
    made = plan(aim, seen, known=Known(applied=aim.toplevel), policy=Policy())
    assert [d for d in made.drifts if d.subject in files] == []
    assert made.verdict is not Verdict.DEPLOY
    host.host.exec("systemctl", "stop", "stays.service", "winner.service")
    seen = host.look(*names)
    made = plan(aim, seen, known=Known(applied=aim.toplevel), policy=Policy())
    again = {step.unit for step in made.steps if step.unit in files}
    assert again == {"stays.service", "winner.service", "loser.service"}
