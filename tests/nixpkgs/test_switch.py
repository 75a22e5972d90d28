"""`switch-to-configuration`, `activate` and `init`, on a host that runs."""

import json
import re
from pathlib import Path

import pytest

from tests.nixpkgs.conftest import HERE, Host

pytestmark = [pytest.mark.nix, pytest.mark.fleet]

FOREVER = 'script = "exec sleep infinity"; wantedBy = [ "multi-user.target" ];'


def rules(value: str) -> str:
    """Return the module with one service for each rule; two values, two systems."""
    return f'import {HERE / "switch_rules.nix"} {{ value = "{value}"; }}'


WATCHED = [
    "same",
    "stopped",
    "in-place",
    "skipped",
    "reloads",
    "triggered",
    "restart-triggered",
    "instance@a",
    "old",
    "stays",
]

# Files to be made at boot, made again when they differ: as on NixOS.
TMPFILES = "systemd-tmpfiles-resetup.service"


def listed(text: str, heading: str) -> set[str]:
    """Return the units in the line that begins with *heading*, if there is one."""
    found = re.search(rf"^{re.escape(heading)}: (.*)$", text, re.MULTILINE)
    return set(found[1].split(", ")) if found else set()


def pids(host: Host) -> dict[str, str]:
    """Return the main process of every watched service, by name."""
    names = " ".join(f"{name}.service" for name in WATCHED)
    shown = host.says(f"systemctl show -P MainPID {names}")
    return dict(zip(WATCHED, shown.split(), strict=True))


@pytest.fixture(scope="module")
def first(host: Host) -> Path:
    return host.system(rules("1"))


@pytest.fixture(scope="module")
def second(host: Host) -> Path:
    return host.system(rules("2"))


def test_every_unit_is_treated_by_its_rule(
    host: Host, first: Path, second: Path
) -> None:
    done = host.switch(first)
    assert done.returncode == 0, done.stderr
    host.says("systemctl start instance@a.service; rm -f /run/reloads /run/triggered")
    before = pids(host)

    foretold = host.switch(second, "dry-activate")

    assert foretold.returncode == 0
    assert pids(host) == before
    assert listed(foretold.stderr, "would stop the following units") == {
        *("hidden.service", "instance@a.service", "old.service"),
        *("restart-triggered.service", "stopped.service", TMPFILES),
    }

    done = host.switch(second)

    assert done.returncode == 0, done.stderr
    now = done.stderr
    assert listed(now, "NOT restarting the following changed units") == {
        "skipped.service"
    }
    assert listed(now, "reloading the following units") == {
        "reloads.service",
        "triggered.service",
    }
    assert listed(now, "restarting the following units") == {
        "in-place.service",
        "srv-volatile.mount",
    }
    assert listed(now, "starting the following units") == {
        *("instance@a.service", "restart-triggered.service", "stopped.service"),
        TMPFILES,
    }
    assert "new.service" in listed(now, "the following new units were started")
    after = pids(host)
    unchanged = {name for name in WATCHED if before[name] == after[name]}
    assert unchanged == {"same", "skipped", "reloads", "triggered", "stays"}
    assert after["old"] == "0"
    host.says("ls /run/reloads /run/triggered; systemctl is-active new.service")


def test_etc_and_tmpfiles_follow_the_system(
    host: Host, first: Path, second: Path
) -> None:
    for system, value, other in ((first, "1", "2"), (second, "2", "1")):
        assert host.switch(system).returncode == 0
        told = host.says(
            "cat /etc/told; stat -c ' %a %G' /etc/told; readlink -f /etc/static;"
            f"cat /etc/gone-{value}; echo; ls -d /var/lib/told-{value};"
            f"ls /etc/gone-{other} || true"
        )
        assert told.split() == [
            *(value, "640", "keys"),
            str((system / "etc").resolve()),
            *(value, f"/var/lib/told-{value}"),
        ]


def test_a_socket_stands_for_its_service(host: Host, first: Path, second: Path) -> None:
    assert host.switch(first).returncode == 0
    host.says("systemctl start by-socket.service")

    done = host.switch(second)

    assert done.returncode == 0, done.stderr
    assert {"by-socket.service", "by-socket.socket"} <= listed(
        done.stderr, "stopping the following units"
    )
    assert "by-socket.socket" in listed(done.stderr, "starting the following units")
    state = host.run("systemctl is-active by-socket.socket by-socket.service").stdout
    assert state.split() == ["active", "inactive"]


def test_a_service_stopped_by_hand_comes_back_with_its_target(
    host: Host, first: Path
) -> None:
    assert host.switch(first).returncode == 0
    host.says("systemctl stop same.service")

    done = host.switch(first)

    assert "same.service" in listed(done.stderr, "the following new units were started")


def test_an_interrupted_switch_is_taken_up_again(host: Host, first: Path) -> None:
    assert host.switch(first).returncode == 0
    before = pids(host)
    host.says("echo in-place.service >/run/nixos/restart-list")

    done = host.switch(first)

    assert listed(done.stderr, "restarting the following units") == {"in-place.service"}
    assert pids(host)["in-place"] != before["in-place"]
    assert host.says("ls /run/nixos") == "switch-to-configuration.lock"


def test_keys_are_waited_for_again(host: Host) -> None:
    system = host.system(f"{{ systemd.services.user = {{ {FOREVER} }}; }}")
    assert host.switch(system).returncode == 0
    host.says("systemctl start keys.target")
    started = host.says("systemctl show -P ActiveEnterTimestampMonotonic keys.target")

    assert host.switch(system).returncode == 0

    again = host.says("systemctl show -P ActiveEnterTimestampMonotonic keys.target")
    assert int(again) > int(started)


def test_a_unit_that_fails_gives_4_and_the_system_is_new(host: Host) -> None:
    system = host.system(
        '{ systemd.services.bad = { script = "exit 3"; serviceConfig.Type = "oneshot"; '
        'wantedBy = [ "multi-user.target" ]; }; }'
    )

    done = host.switch(system)

    assert done.returncode == 4
    assert "warning: the following units failed: bad.service" in done.stderr
    assert host.says("readlink /run/current-system") == str(system)


def test_a_snippet_that_fails_gives_2_and_the_system_is_new(host: Host) -> None:
    system = host.system("""{
      system.activationScripts.broken = "false";
      system.activationScripts.later.text = "touch /run/later";
      system.activationScripts.later.deps = [ "broken" ];
    }""")

    done = host.switch(system)

    assert done.returncode == 2
    assert "Activation script snippet 'broken' failed (1)" in done.stdout
    assert host.says("readlink /run/current-system; ls /run/later").split() == [
        str(system),
        "/run/later",
    ]


def test_another_init_is_installed_but_not_switched_to(host: Host, first: Path) -> None:
    assert host.switch(first, "switch").returncode == 0
    system = host.system('{ system.initInterfaceVersion = "another"; }')

    done = host.switch(system, "switch")

    assert done.returncode == 100
    assert host.says("readlink /boot/default /run/current-system").split() == [
        str(system),
        str(first),
    ]


def test_each_action_does_its_part(host: Host, first: Path, second: Path) -> None:
    def links() -> list[str]:
        return host.says("readlink /boot/default /run/current-system").split()

    assert host.switch(first, "switch").returncode == 0
    assert links() == [str(first), str(first)]
    assert host.switch(second, "test").returncode == 0
    assert links() == [str(first), str(second)]
    assert host.switch(first, "test").returncode == 0
    assert host.switch(second, "boot").returncode == 0
    assert links() == [str(second), str(first)]
    assert host.switch(second, "check").returncode == 0
    assert links() == [str(second), str(first)]
    assert host.switch(first, "explode").returncode == 1


def test_only_one_switches_at_a_time(host: Host, first: Path) -> None:
    lock = "mkdir -p /run/nixos; flock /run/nixos/switch-to-configuration.lock"

    done = host.switch(first, before=lock)

    assert done.returncode == 11
    assert done.stderr == "Could not acquire lock\n"


def test_only_root_on_a_nixos_may_switch(host: Host, first: Path) -> None:
    unprivileged = host.switch(first, before="setpriv --reuid 65534")

    assert unprivileged.returncode == 1
    assert "root" in unprivileged.stderr


def test_a_check_can_refuse(host: Host, first: Path) -> None:
    assert host.switch(first, "switch").returncode == 0
    system = host.system("""{
      system.preSwitchChecks.never = "echo not today >&2; exit 1";
      system.nixos.tags = [ "refused" ];
    }""")

    done = host.switch(system, "switch")

    assert done.returncode == 1
    assert "not today" in done.stderr
    assert host.says("readlink /boot/default /run/current-system").split() == [
        str(first),
        str(first),
    ]
    assert host.switch(system, before="env NIXOS_NO_CHECK=1").returncode == 0


def test_users_keep_their_numbers(host: Host, first: Path) -> None:
    person = """{
      users.users.ada = {
        isNormalUser = true;
        extraGroups = [ "keys" ];
        openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA ada" ];
      };
      users.users.daemonic = { isSystemUser = true; group = "daemonic"; };
      users.groups.daemonic = { };
    }"""
    system = host.system(person)
    assert host.switch(system).returncode == 0
    ids = host.says("id ada; id daemonic")
    assert "(keys)" in ids
    assert host.says("stat -c '%U %a' /home/ada") == "ada 700"
    assert host.says("cat /etc/ssh/authorized_keys.d/ada") == "ssh-ed25519 AAAA ada"

    # As NixOS writes it, which takes the host over one day.
    number = json.loads(host.says("cat /var/lib/nixos/uid-map"))["ada"]
    assert f"uid={number}(ada)" in ids
    assert "ada" in host.says("cat /var/lib/nixos/declarative-users").split(" ")

    assert host.switch(first).returncode == 0
    assert host.run("id ada").returncode == 1
    assert host.switch(system).returncode == 0

    assert host.says("id ada; id daemonic") == ids


def test_a_reboot_starts_the_boot_default(
    host: Host, first: Path, second: Path
) -> None:
    assert host.switch(first, "switch").returncode == 0
    assert host.switch(second, "boot").returncode == 0

    host.reboot()

    links = host.says("readlink /run/booted-system /run/current-system").split()
    assert links == [str(second), str(second)]
    assert host.says("systemctl is-active new.service") == "active"
    shown = host.says("systemctl show -P FragmentPath new.service")
    assert shown == "/etc/systemd/system/new.service"
    real = host.says(f"readlink -f {shown}")
    assert re.fullmatch(r"/nix/store/[a-z0-9]{32}-unit-new.service/new.service", real)
