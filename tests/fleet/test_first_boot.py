"""A system that refuses to be switched to: the host is booted into it, and watched."""

from collections.abc import Iterator

import pytest

from reconciler.apply import guardian
from reconciler.apply.guardian import Limits, Order, Result
from reconciler.model import Attempt, Outcome, Reason, StorePath
from tests.support.extra import add_extras, attempts, set_extra
from tests.support.fleet import FleetFactory, FleetHost, ToolError
from tests.support.guarded import ExecWriter
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import patience, wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "lufta"
KEPT = "/nix/var/nix/reconciler-first-boot"
CONTROL = "/etc/systemd/system.control"
REFUSES = """
  system.preSwitchChecks.inhibitor =
    "[ $2 = boot ] || { echo The bus would be torn away; exit 1; }";
"""
FAILS = """
  systemd.services.bad = {
    script = "exit 3";
    wantedBy = [ "multi-user.target" ];
  };
"""


def named(name: str) -> str:
    """Return what makes a release another system than all others."""
    return f'environment.etc.release.text = "{name}";'


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    policy = {"reboot": "allowed", "settle": "1s", "confirm_timeout": "20s"}
    with Rig(folder, module_fleet(HOST), policy=policy) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        rig.run_daemon()
        release(rig, named("first"))
        rig.wait_in_sync(HOST)
        yield rig


def release(rig: Rig, nix: str) -> None:
    set_extra(rig, HOST, nix)
    rig.push("A release")


def boots(host: FleetHost) -> tuple[str, ...]:
    """Return what is booted, the profile, and what is booted next, unless down."""
    links = ("/run/booted-system", "/nix/var/nix/profiles/system", "/boot/default")
    try:
        return tuple(map(host.resolve, links))
    except ToolError:
        return ("",)


def left(host: FleetHost) -> str:
    """Return what is left of the watch on the disk."""
    return host.exec(
        "sh", "-c", f"ls -d {KEPT}* {CONTROL} 2>/dev/null; ls -A /run/keys"
    )


def test_it_is_booted_into_it_and_keeps_it_once_it_is_healthy(rig: Rig) -> None:
    host = rig.host(HOST)
    boot, old = host.boot_id, host.running_toplevel

    release(rig, REFUSES + named("second"))
    wait_until(
        lambda: rig.status()[HOST]["running"] != old and rig.status()[HOST]["in_sync"],
        DEADLINE,
        "the new system",
    )

    new = host.running_toplevel
    assert boots(host) == (new, new, new)
    assert host.boot_id != boot
    last, refused, *_ = attempts(rig, HOST)
    assert (last.outcome, last.target) == (Outcome.SUCCEEDED, new)
    assert (refused.outcome, refused.reason) == (Outcome.FAILED, Reason.REBOOT_FIRST)
    assert "boot into it" in [step.name for step in last.steps]
    assert left(host) == "withinbot\n"
    assert host.is_active("withinbot.service"), "it has its key"


def test_it_boots_the_system_from_before_if_the_new_one_is_not_healthy(
    rig: Rig,
) -> None:
    host = rig.host(HOST)
    old = host.running_toplevel

    release(rig, REFUSES + FAILS)
    rig.wait_error(HOST, "failed here before", "bad.service")

    assert boots(host) == (old, old, old)
    (gone_back,) = (
        one for one in attempts(rig, HOST) if one.outcome is Outcome.ROLLED_BACK
    )
    assert gone_back.reason is Reason.UNHEALTHY
    wait_until(
        lambda: host.is_active("withinbot.service"), DEADLINE, "the key it had before"
    )
    assert left(host) == "withinbot\n"


FIRST = "/nix/var/nix/profiles/system-1-link"


def boot_into(host: FleetHost, name: str, new: StorePath, confirm: float) -> None:
    """Have a host boot into a system, without a daemon; wait until it has."""
    old = StorePath(host.running_toplevel)
    limits = Limits(arm=5.0, switch=30.0, roll_back=5.0, confirm=confirm)
    order = Order(attempt=name, new=new, old=old, limits=limits)
    guardian.first_boot(ExecWriter(host), order, host.boot_id, wait=0)
    wait_until(lambda: boots(host)[0] == new, DEADLINE, "the new system to boot")


def wait_for_watch(host: FleetHost, name: str) -> None:
    """Wait until somebody could confirm."""
    writer = ExecWriter(host)
    wait_until(lambda: guardian.state(writer, name).waits, DEADLINE, "the watch")


def test_it_boots_the_system_from_before_if_nobody_confirms(rig: Rig) -> None:
    """Also before that time is over: whatever takes it down takes it back."""
    rig.stop_daemon()
    host = rig.host(HOST)
    old = host.running_toplevel
    new = StorePath(host.exec("readlink", "-f", FIRST).strip())

    boot_into(host, "a", new, confirm=patience(2.0))
    wait_until(lambda: boots(host) == (old,) * 3, DEADLINE, "the system from before")
    assert not guardian.state(ExecWriter(host), "a").known

    boot_into(host, "b", new, confirm=100.0)
    wait_for_watch(host, "b")
    assert boots(host) == (new, old, old), "it is booted by default no more"
    host.kill()
    host.start()
    assert boots(host) == (old, old, old)
    assert left(host) == ""


BOOTCTL = """#!/bin/sh
# systemd-boot as far as it is asked: it boots an entry once, and the default then.
case $1-$2 in
status-) echo "      Product: systemd-boot 255.4" ;;
--print-boot-path-) echo /boot ;;
set-oneshot-?*)
  echo "$2" >/boot/asked
  init=$(sed -n 's/^options init=//p' "/boot/loader/entries/${2%.conf}"*.conf)
  mkdir -p /boot/once
  default=$(readlink /boot/default)
  printf '#!/bin/sh\\n/bin/ln -sfn %s /boot/default\\nexec %s "$@"\\n' \
    "$default" "$init" >/boot/once/init
  chmod +x /boot/once/init
  ln -sfn /boot/once /boot/default ;;
esac
"""
INSTALL = """
cat >/usr/bin/bootctl && chmod +x /usr/bin/bootctl
mkdir -p /boot/loader/entries
echo "options init=$1/init" >"/boot/loader/entries/nixos-generation-1+3-1.conf"
echo "options init=$2/init" >"/boot/loader/entries/nixos-generation-2.conf"
"""


@pytest.mark.matrix
def test_systemd_boot_boots_it_once_and_by_default_never(rig: Rig) -> None:
    """So a system that does not come up at all is left by a reset."""
    rig.stop_daemon()
    host = rig.host(HOST)
    old = host.running_toplevel
    new = StorePath(host.exec("readlink", "-f", FIRST).strip())
    host.exec("sh", "-c", INSTALL, "sh", new, old, stdin=BOOTCTL)

    boot_into(host, "c", new, confirm=100.0)
    assert boots(host) == (new, old, old), "from the very beginning"
    assert host.exec("cat", "/boot/asked").strip() == "nixos-generation-1.conf"
    wait_for_watch(host, "c")
    host.kill()
    host.start()
    assert boots(host) == (old, old, old)

    host.exec("rm", "/boot/loader/entries/nixos-generation-2.conf")
    boot_into(host, "d", new, confirm=100.0)
    wait_for_watch(host, "d")
    assert boots(host) == (new, old, old), "without that entry it is done as ever"
    host.exec("rm", "/usr/bin/bootctl")
    host.kill()
    host.start()
    assert left(host) == ""


@pytest.mark.matrix
def test_one_that_does_not_come_back_is_told_and_followed_when_it_does(
    rig: Rig,
) -> None:
    rig.stop_daemon()
    host = rig.host(HOST)
    old = host.running_toplevel
    rig.run_daemon("boot-seconds=5")

    release(rig, REFUSES + 'boot.postBootCommands = "exec sleep infinity";')
    rig.wait_error(HOST, "has not come back", "console")
    host.kill()
    default = rig.fleet.path / "hosts" / HOST / "disk/upper/boot/default"
    assert str(default.readlink()) != old
    default.unlink()
    default.symlink_to(old)  # as a person chooses at the boot menu
    release(rig, named("better"))
    host.start()
    rig.wait_in_sync(HOST)

    (given_up,) = (one for one in attempts(rig, HOST) if one.reason is Reason.REBOOTED)
    assert given_up.outcome is Outcome.ROLLED_BACK
    assert boots(host)[1:] == (host.running_toplevel,) * 2
    assert left(host) == "withinbot\n"


@pytest.mark.matrix
def test_one_whose_boot_loader_does_not_take_it_is_given_up(rig: Rig) -> None:
    """It boots the old system each time, and not for ever."""
    rig.stop_daemon()
    rig.run_daemon()
    release(rig, named("before that"))
    rig.wait_in_sync(HOST)
    host = rig.host(HOST)
    old = host.running_toplevel
    nothing = 'lib.mkForce (pkgs.writeShellScript "nothing" "true")'

    release(rig, REFUSES + f"system.build.installBootLoader = {nothing};")
    rig.wait_error(HOST, "failed here before", "did not boot", deadline_s=120.0)

    tried = [one for one in attempts(rig, HOST) if one.source == old]
    gone_back = [one for one in tried if one.outcome is Outcome.ROLLED_BACK]
    assert [one.reason for one in gone_back] == [Reason.REBOOTED] * 3
    assert boots(host) == (old, old, old)
    wait_until(lambda: left(host) == "withinbot\n", DEADLINE, "the key it had before")


@pytest.mark.matrix
def test_a_daemon_that_is_killed_meanwhile_follows_it_to_its_end(rig: Rig) -> None:
    left_alone = killed_in_first_boot(rig, "followed")

    rig.run_daemon()
    rig.wait_in_sync(HOST)

    ended = next(one for one in attempts(rig, HOST) if one.id == left_alone.id)
    assert ended.outcome is Outcome.SUCCEEDED
    host = rig.host(HOST)
    assert boots(host) == (host.running_toplevel,) * 3


def killed_in_first_boot(rig: Rig, name: str) -> Attempt:
    """Kill the daemon once a host is booted into a release; return what is open."""
    rig.stop_daemon()
    rig.run_daemon()
    host = rig.host(HOST)
    boot = host.boot_id
    release(rig, REFUSES + named(name))
    wait_until(lambda: booted_anew(host, boot), DEADLINE, "the reboot")
    rig.stop_daemon(kill=True)
    wait_until(lambda: boots(host)[0] != "", DEADLINE, "the new system to boot")
    (open_one,) = (one for one in attempts(rig, HOST) if one.outcome is None)
    return open_one


def booted_anew(host: FleetHost, boot: str) -> bool:
    """Return whether a host has left a boot."""
    try:
        return host.boot_id != boot
    except ToolError:
        return True


LOSES = """#!/bin/sh
rm -rf /etc/systemd/system.control # as where /etc is made anew at each boot
"""


@pytest.mark.matrix
def test_a_watch_that_was_lost_begins_as_soon_as_somebody_asks(rig: Rig) -> None:
    rig.stop_daemon()
    host = rig.host(HOST)
    old = host.running_toplevel
    new = StorePath(host.exec("readlink", "-f", FIRST).strip())
    host.exec("sh", "-c", INSTALL, "sh", new, old, stdin=LOSES)

    boot_into(host, "e", new, confirm=100.0)
    assert boots(host) == (new, new, new)
    wait_for_watch(host, "e")
    wait_until(lambda: boots(host) == (new, old, old), DEADLINE, "the old default")

    host.exec("rm", "/usr/bin/bootctl")
    host.kill()
    host.start()
    assert (boots(host), left(host)) == ((old, old, old), "")


@pytest.mark.matrix
def test_the_watch_stays_while_what_is_booted_cannot_be_set_back(rig: Rig) -> None:
    """And whatever is confirmed ends it, since it would take that back."""
    rig.stop_daemon()
    host = rig.host(HOST)
    old = StorePath(host.running_toplevel)
    new = StorePath(host.exec("readlink", "-f", FIRST).strip())
    limits = Limits(arm=5.0, switch=30.0, roll_back=5.0, confirm=100.0)
    host.exec("sh", "-c", "mount --bind /boot /boot && mount -o remount,bind,ro /boot")
    try:
        order = Order(attempt="f", new=new, old=old, limits=limits)
        guardian.first_boot(ExecWriter(host), order, host.boot_id, wait=0)
        wait_for_result(host, "f", Result.NOT_BOOTED)
        assert KEPT in left(host)
    finally:
        host.exec("umount", "/boot")

    order = Order(attempt="g", new=old, old=old, limits=limits)
    guardian.set_boot(ExecWriter(host), order, wait=0)
    wait_for_result(host, "g", Result.CONFIRMED)
    assert KEPT not in left(host)
    assert boots(host)[1:] == (old, old)


def wait_for_result(host: FleetHost, name: str, result: Result) -> None:
    writer = ExecWriter(host)
    wait_until(
        lambda: guardian.state(writer, name).result is result, DEADLINE, result.value
    )


@pytest.mark.matrix
def test_one_that_is_not_wanted_any_more_is_left_and_not_blamed(rig: Rig) -> None:
    left_alone = killed_in_first_boot(rig, "not for long")

    release(rig, named("wanted"))
    rig.run_daemon()
    rig.wait_in_sync(HOST)

    ended = next(one for one in attempts(rig, HOST) if one.id == left_alone.id)
    host = rig.host(HOST)
    assert (ended.outcome, ended.reason) == (Outcome.ROLLED_BACK, Reason.ASKED)
    assert boots(host)[1:] == (host.running_toplevel,) * 2
