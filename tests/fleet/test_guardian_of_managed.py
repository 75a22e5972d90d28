"""
What a host that is not NixOS does by itself while system-manager switches it.

On a real one, without a daemon, between toplevels of a test's own making: scripts that
put a link into /etc and write the state, as the engine does, or fail on the way.
"""

from collections.abc import Iterator

import pytest

from reconciler.apply import guardian
from reconciler.apply.guardian import NOTHING_BEFORE, Decision, Result
from reconciler.model import StorePath
from reconciler.remote import system_manager
from tests.fleet.test_system_manager import PLAIN, PROFILE
from tests.support.fleet import FleetFactory
from tests.support.guarded import GuardedHost
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(180)

STATE = "/var/lib/system-manager/state/system-manager-state.json"
WATCH = "/nix/var/nix/reconciler-unconfirmed"
UNIT_FILE = "/etc/systemd/system/reconciler-unconfirmed.service"
LINK = "rm -f /etc/managed.conf; ln -s $top/static/managed.conf /etc/managed.conf"
WRITE = f"mkdir -p {STATE.rpartition('/')[0]}; cp $top/services/services.json {STATE}"
STATIC = "$(sed 's/.*:\"\\(.*\\)\".*/\\1/' $top/etcFiles/etcFiles.json)"
NEW_FILE = f"ln -s {STATIC}/new.conf /etc/new.conf"
FORGET = f"rm -f /etc/managed.conf; echo '{{}}' >{STATE}"


class ManagedHost(GuardedHost):
    """A host that is switched between toplevels of system-manager's shape."""

    def reset(self) -> None:
        """Have nothing there of system-manager."""
        self.sh(f"rm -rf /run/reconciler {WATCH} {UNIT_FILE} {STATE} {PROFILE}*")
        self.sh("rm -rf /etc/*.conf.link /etc/managed.conf /etc/new.conf /srv/*")
        self.sh("rm -f /nix/var/nix/reconciler-activated")

    def managed(
        self,
        name: str,
        activate: str = f"{LINK}; {WRITE}",
        *,
        engine: str = "exit 9",
        check: str = ":",
    ) -> StorePath:
        """Make a toplevel; what it does is sh, in which $top is itself."""
        scripts = {
            "activate": activate,
            "deactivate": FORGET,
            "preActivationAssertions": check,
            "system-manager-engine": engine,
        }
        made = "".join(
            f"cat >bin/{file} <<'END'\n#!/bin/sh\ntop=${{0%/bin/*}}\n{text}\nEND\n"
            for file, text in scripts.items()
        )
        script = f"""set -e
        rm -rf /srv/{name}; mkdir -p /srv/{name}; cd /srv/{name}
        mkdir bin services etcFiles static
        {made}chmod +x bin/*
        echo {name} >static/managed.conf
        echo {name} >static/new.conf
        unit=/nix/store/{name}/slow.service
        printf '{{"slow.service":{{"storePath":"%s"}}}}' $unit >services/services.json
        static=$(nix-store --add /srv/{name}/static)
        printf '{{"staticEnv":"%s"}}' "$static" >etcFiles/etcFiles.json
        nix-store --add /srv/{name}
        """.replace("\n        ", "\n")
        return StorePath(self.inside.exec("sh", "-c", script).strip())

    @property
    def runs(self) -> str:
        """The system that runs; nothing where there is none."""
        return self.sh(f"{system_manager.functions()}\nmanaged_running").strip()

    def exists(self, path: str) -> bool:
        """Whether something is there, be it a link that leads nowhere."""
        return (
            self.inside.exec_status("sh", "-c", f"[ -L {path} ] || [ -e {path} ]") == 0
        )


@pytest.fixture(scope="module")
def plain(module_fleet: FleetFactory) -> ManagedHost:
    """One host for all of them."""
    return ManagedHost(module_fleet("edge", options=PLAIN)["edge"])


@pytest.fixture
def host(plain: ManagedHost) -> Iterator[ManagedHost]:
    """Begin and end with nothing of system-manager there."""
    plain.reset()
    yield plain
    plain.reset()


def running(
    host: ManagedHost, name: str, activate: str = f"{LINK}; {WRITE}"
) -> StorePath:
    """Have a system run that somebody confirmed."""
    found = host.managed(name, activate)
    host.begin(f"{name}-itself", found, NOTHING_BEFORE)
    ended = host.end(f"{name}-itself", Decision.CONFIRM)
    assert ended.result is Result.CONFIRMED, ended
    return found


def test_what_is_confirmed_is_a_generation_and_nothing_watches_any_more(
    host: ManagedHost,
) -> None:
    folder = PROFILE.rpartition("/")[0]
    host.sh(f"rm -rf /srv/made {folder}")
    new = host.managed("new", f"mkdir -p /srv/made; {LINK}; {WRITE}")

    found = host.begin("a", new, NOTHING_BEFORE)
    assert found.waits
    assert host.exists(WATCH)
    assert host.runs == new
    ended = host.end("a", Decision.CONFIRM)

    assert ended.result is Result.CONFIRMED, ended
    assert host.sh(f"readlink -f {PROFILE}").strip() == new
    modes = host.sh(f"stat -c %a /srv/made {folder}").split()
    assert modes == ["755", "755"], "as if a person had done it"
    assert not host.exists(WATCH)
    assert not host.exists(UNIT_FILE)


def test_a_power_cut_takes_it_back_to_what_was_confirmed(host: ManagedHost) -> None:
    """The new units lie in /etc, on the disk, and are what it boots."""
    old = running(host, "old")
    host.begin("a", host.managed("new"), old)

    host.inside.kill()
    host.inside.start()

    assert host.wait_result("a").result is Result.ROLLED_BACK
    assert host.runs == old
    assert host.inside.exec("cat", "/etc/managed.conf").strip() == "old"
    assert not host.exists(WATCH)


def test_after_a_power_cut_nothing_is_left_of_the_first_one(host: ManagedHost) -> None:
    host.begin("a", host.managed("new"), NOTHING_BEFORE)

    host.inside.kill()
    host.inside.start()

    def gone() -> bool:
        return not host.exists(WATCH)

    wait_until(gone, 60, "it to go back by itself, asked by nobody")
    assert host.runs == ""
    assert not host.exists("/etc/managed.conf")


def test_after_a_power_cut_links_of_an_activation_that_was_under_way_do_not_stay(
    host: ManagedHost,
) -> None:
    old = running(host, "old")
    new = host.managed("new", f"{LINK}; {NEW_FILE}; sync; sleep 1000")
    order = host.order("a", new, old)
    guardian.start(host.writer, order, wait=0)
    wait_until(lambda: host.exists("/etc/new.conf"), 30, "the link to be made")

    host.inside.kill()
    host.inside.start()

    assert host.wait_result("a").result is Result.ROLLED_BACK
    assert not host.exists("/etc/new.conf")
    assert host.inside.exec("cat", "/etc/managed.conf").strip() == "old"
    assert host.runs == old


def test_an_activation_that_ends_well_and_does_less_is_taken_back(
    host: ManagedHost,
) -> None:
    old = running(host, "old")
    new = host.managed(
        "new", f"{LINK}; echo 'Error during activation' >&2; echo >>{STATE}"
    )

    host.begin("a", new, old)
    found = host.wait_result("a")

    assert (found.result, found.status) == (Result.ROLLED_BACK, 1)
    assert host.runs == old
    assert "Error during activation" in found.log
    assert "does not run all of" in found.log


def test_a_service_that_an_activation_did_not_come_to_is_restarted(
    host: ManagedHost,
) -> None:
    """Where stopping another takes long it gives up, and ends well."""

    def service(name: str, more: str) -> str:
        text = f"[Service]\\nExecStart=/bin/sleep infinity\\n# {name}"
        return (
            f"printf '{text}' >/srv/slow.service;"
            f" ln -sfn /srv/slow.service /etc/systemd/system/slow.service;"
            f" systemctl daemon-reload; {LINK}; {WRITE}; {more}"
        )

    old = running(host, "old", service("old", "systemctl start slow.service"))
    new = host.managed("new", service("new", "echo ERROR Error during activation: x"))
    invocation = "systemctl show -p InvocationID --value slow.service"
    before = host.sh(invocation)

    found = host.begin("a", new, old)

    assert found.waits, found
    assert (
        "restarting what the activation has left as it was: slow.service" in found.log
    )
    assert host.sh(invocation) != before
    host.end("a", Decision.ROLL_BACK)
    host.sh("systemctl stop slow.service; rm /etc/systemd/system/slow.service")


def test_links_of_an_activation_that_was_cut_off_do_not_stay(host: ManagedHost) -> None:
    """It wrote nowhere that they are its own: they would never be replaced."""
    old = running(host, "old")
    new = host.managed("new", f"{NEW_FILE}; exit 1")

    host.begin("a", new, old)
    found = host.wait_result("a")

    assert found.result is Result.ROLLED_BACK
    assert not host.exists("/etc/new.conf")
    assert host.exists("/etc/managed.conf")
    assert host.runs == old


@pytest.mark.matrix
def test_what_somebody_else_linked_stays(host: ManagedHost) -> None:
    old = running(host, "old")
    new = host.managed("new", "exit 1")
    host.sh("ln -s /etc/hostname /etc/new.conf")

    host.begin("a", new, old)
    found = host.wait_result("a")

    assert found.result is Result.ROLLED_BACK
    assert host.sh("readlink /etc/new.conf").strip() == "/etc/hostname"


def test_an_engine_that_cannot_read_the_state_of_a_newer_one_is_passed_over(
    host: ManagedHost,
) -> None:
    old = running(host, "old")
    host.sh(f"echo; mkdir -p /srv/x; cp {STATE} /srv/x/state")
    older = host.managed("older", f"grep -q new {STATE} && exit 1; {LINK}; {WRITE}")
    host.begin("older", older, old)
    host.end("older", Decision.CONFIRM)
    new = host.managed("new", engine=f"top=$3; {LINK}; {WRITE}")
    found = host.begin("a", new, older)
    assert found.waits, found

    ended = host.end("a", Decision.ROLL_BACK)

    assert ended.result is Result.ROLLED_BACK, ended
    assert host.runs == older


def test_what_refuses_before_it_begins_touches_nothing(host: ManagedHost) -> None:
    old = running(host, "old")
    new = host.managed("new", check="echo This OS is not supported; exit 1")

    host.begin("a", new, old)
    found = host.wait_result("a")

    assert found.result is Result.REFUSED
    assert "This OS is not supported" in found.log
    assert host.runs == old
    assert not host.exists(WATCH)


@pytest.mark.matrix
def test_nobody_confirms(host: ManagedHost) -> None:
    old = running(host, "old")
    new = host.managed("new")
    limits = guardian.Limits(arm=5, switch=10, confirm=1, roll_back=5)
    order = guardian.Order(attempt="a", new=new, old=old, limits=limits)

    guardian.start(host.writer, order, wait=15)

    assert host.wait_result("a").decision is Decision.EXPIRED
    assert host.runs == old


def test_somebody_elses_switch_is_what_runs(host: ManagedHost) -> None:
    """Our note counts only as long as nobody has written the state since."""
    running(host, "old")
    theirs = host.managed("theirs")

    host.sh(f"nix-env -p {PROFILE} --set {theirs} && {theirs}/bin/activate")

    assert host.runs == theirs
