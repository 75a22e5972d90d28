"""What a first deployment changes of what somebody else put on a host."""

import base64
import dataclasses

import pytest

from reconciler.errors import FactError
from reconciler.model import (
    Account,
    Base,
    Desired,
    Drift,
    DriftKind,
    Effect,
    Ground,
    HostName,
    Known,
    Mount,
    Policy,
    SshServer,
    StorePath,
    Verdict,
)
from reconciler.observed.ground import parse
from reconciler.plan import plan, takeover
from reconciler.plan.path import only_path
from tests.unit.plan.samples import NEW, OLD, desired, have, observed, want

LUFTA = HostName("lufta")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
PRINT = "ssh-ed25519 SHA256:7y0vOf"
ROOT = Mount(place="/", device="/dev/sda1", type="ext4", options="o")
STORE = "/nix/store/" + "a" * 32
PACKAGED = have(
    "from-package.service",
    fragment=f"{STORE}-cups/lib/systemd/system/from-package.service",
    fragment_path="/etc/systemd/system/from-package.service",
)


def told(
    base: Base, ground: Ground, *, ssh: SshServer | None = None, **fields: object
) -> list[str]:
    """Return the lines but that about the state version."""
    aim = dataclasses.replace(
        desired(want()),
        base=base,
        ssh=ssh or SshServer(enabled=True),
        **fields,  # type: ignore[arg-type]
    )
    found = takeover(aim, observed(have()), ground, drifts=(), units=frozenset())
    return [f"{one.kind}: {one.text}" for one in found if one.kind != "state version"]


def test_services_that_run_and_are_in_no_unit_of_the_new_system_go() -> None:
    gone = Drift(kind=DriftKind.UNIT_EXTRA, subject="old.service", effect=Effect.STOP)
    kept = Drift(kind=DriftKind.UNIT_EXTRA, subject="off.service")
    seen = observed(have(), PACKAGED)

    built = takeover(
        desired(want()), seen, Ground(), drifts=(gone, kept), units=frozenset()
    )
    unbuilt = takeover(desired(want()), seen, Ground(), drifts=(gone,), units=None)
    has_it = frozenset({PACKAGED.name})
    brought = takeover(desired(want()), seen, Ground(), drifts=(), units=has_it)

    assert [one.text for one in built] == [
        "from-package.service runs, and goes",
        "old.service runs, and goes",
    ]
    assert unbuilt[0].text == "old.service runs, and goes"
    assert "1 units of packages run" in unbuilt[1].text
    assert brought == ()


@pytest.mark.parametrize(
    ("base", "account", "line"),
    [
        pytest.param(
            Base(mutable_users=False),
            Account(name="ann", password=True, own_keys=(PRINT,)),
            "user: ann goes, who has a password and 1 SSH key",
            id="none but declared users",
        ),
        pytest.param(
            Base(),
            Account(name="ann", keys=(PRINT,), declared=True),
            "user: ann goes, who has 1 SSH key",
            id="no longer declared",
        ),
        pytest.param(
            Base(), Account(name="ann", password=True), "", id="made by hand, and stays"
        ),
        pytest.param(
            Base(mutable_users=False, users={"ann": False}),
            Account(name="ann", password=True),
            "user: ann has no password any more",
            id="a password that goes",
        ),
        pytest.param(
            Base(users={"ann": False}),
            Account(name="ann", password=True),
            "",
            id="a password that stays",
        ),
        pytest.param(
            Base(users={"root": False}),
            Account(name="root", keys=(PRINT,)),
            f"ssh: keys that let root in go, as whom we come: {PRINT}",
            id="our way in",
        ),
        pytest.param(
            Base(users={"ann": False}),
            Account(name="ann", own_keys=(PRINT,)),
            "",
            id="what is in a home stays",
        ),
    ],
)
def test_users_who_get_in_and_will_not(base: Base, account: Account, line: str) -> None:
    assert told(base, Ground(accounts=(account,))) == ([line] if line else [])


def test_file_systems_that_differ() -> None:
    old = (
        ROOT,
        Mount(place="/home", device="/dev/sda2", type="ext4", options="o"),
        Mount(place="/srv/a\\040b", device="nas:/a", type="nfs", options="o"),
        Mount(place="none", device="/dev/sda3", type="swap", options="o"),
    )
    new = (
        dataclasses.replace(ROOT, device="/dev/disk/by-label/root"),
        Mount(place="/home", device="/dev/sda2", type="ext4", options="p"),
        Mount(place="/boot", device="/dev/sda4", type="vfat", options="o"),
    )

    assert told(Base(mounts=new), Ground(mounts=old)) == [
        "file system: /: /dev/sda1 (ext4) -> /dev/disk/by-label/root (ext4)",
        "file system: /boot: new, /dev/sda4 (vfat)",
        "file system: /dev/sda3: goes, /dev/sda3 (swap)",
        "file system: /home: other options",
        "file system: /srv/a b: goes, nas:/a (nfs)",
    ]
    assert told(Base(mounts=old), Ground(mounts=old)) == []
    assert told(Base(mounts=old), Ground()) == [
        "file system: /etc/fstab is not compared: the host has none"
    ]


def test_a_boot_loader_that_differs() -> None:
    assert told(Base(loader="grub"), Ground(loader="grub")) == []
    assert told(Base(loader="systemd-boot"), Ground(loader="grub")) == [
        "boot loader: grub -> systemd-boot"
    ]
    assert told(Base(loader="grub"), Ground()) == [
        "boot loader: one that its system does not tell -> grub"
    ]


def test_host_keys_that_differ() -> None:
    ssh = SshServer(enabled=True, host_keys=("ed25519 /persist/key",))
    (line,) = told(Base(), Ground(host_keys=("/etc/ssh/key",)), ssh=ssh)

    assert "no more /etc/ssh/key" in line
    assert "reconciler trust lufta --next KEY" in line


@pytest.mark.parametrize(
    ("there", "line"),
    [
        ("24.05", None),
        ("23.11", "23.11 -> 24.05"),
        ("", "its running system does not tell"),
    ],
)
def test_a_state_version_is_compared_where_it_is_known(
    there: str, line: str | None
) -> None:
    aim = dataclasses.replace(desired(want()), base=Base(state_version="24.05"))

    found = takeover(
        aim, observed(have()), Ground(state_version=there), drifts=(), units=None
    )

    assert [line in one.text for one in found] == ([True] if line else [])  # type: ignore[operator]


# --- what a host tells -----------------------------------------------------------


def answer(*lines: str, **texts: str) -> str:
    encoded = [
        f"{name.replace('__', ' ')} {base64.b64encode(text.encode()).decode()}"
        for name, text in texts.items()
    ]
    return "\n".join([*lines, *encoded, "end", ""])


WRAPPER = f"export INSTALL_BOOTLOADER='{STORE}-install-systemd-boot.sh'\n"
PERL = f"<<'EOFBOOTLOADER';\n{STORE}-install-grub.sh\nEOFBOOTLOADER\n"
EXTLINUX = f"<<'EOFBOOTLOADER';\n{STORE}-extlinux-conf-builder.sh -g 2 -c\n"
NONE = "<<'EOFBOOTLOADER';\necho 'do not know how to make this bootable'\n"


def test_the_answer_of_a_host_is_read() -> None:
    found = parse(
        answer(
            "user root",
            "user ann",
            "user nobody",
            "password ann",
            fstab="# by hand\n/dev/sda1 / ext4 defaults 0 1\n\n",
            sshd="Port 22\nHostKey /etc/ssh/one\n  hostkey /etc/ssh/two\n",
            declared="ann root",
            configuration='{\n  system.stateVersion = "23.11"; # keep\n}\n',
            switch=WRAPPER,
            keys__root=f"{KEY} me\n",
        ),
        host=LUFTA,
    )

    assert [(one.name, one.password, len(one.keys)) for one in found.accounts] == [
        ("ann", True, 0),
        ("root", False, 1),
    ]
    assert found.mounts is not None
    assert [(one.place, one.device) for one in found.mounts] == [("/", "/dev/sda1")]
    assert found.host_keys == ("/etc/ssh/one", "/etc/ssh/two")
    assert (found.loader, found.state_version) == ("systemd-boot", "23.11")


@pytest.mark.parametrize(
    ("switch", "loader"),
    [(PERL, "grub"), (EXTLINUX, "extlinux"), (NONE, ""), ("#!/bin/sh\n", "")],
)
def test_the_boot_loader_is_what_a_switch_would_set(switch: str, loader: str) -> None:
    assert parse(answer(switch=switch), host=LUFTA).loader == loader


def test_two_state_versions_are_none() -> None:
    text = 'system.stateVersion = "23.11";\nsystem.stateVersion = "24.05";\n'

    assert parse(answer(configuration=text), host=LUFTA).state_version == ""


@pytest.mark.parametrize(
    "text", ["", "user root\n", "keys root !!!\nend\n", "a b c d ZQ==\nend\n"]
)
def test_half_an_answer_is_none(text: str) -> None:
    with pytest.raises(FactError):
        parse(text, host=LUFTA)


# --- only a path -----------------------------------------------------------------

SYSTEM = Drift(kind=DriftKind.SYSTEM)
BUS = Drift(kind=DriftKind.UNIT_CHANGED, subject="dbus.service", effect=Effect.RELOAD)
FORMER = dataclasses.replace(desired(want()), toplevel=OLD)
BUS_UNIT = want("dbus.service")


@pytest.mark.parametrize(
    ("drifts", "only"),
    [
        ([SYSTEM], True),
        ([SYSTEM, Drift(kind=DriftKind.BOOT)], True),
        ([SYSTEM, BUS], True),
        ([SYSTEM, dataclasses.replace(BUS, effect=Effect.RESTART)], False),
        ([SYSTEM, dataclasses.replace(BUS, subject="nginx.service")], False),
        ([SYSTEM, Drift(kind=DriftKind.KEY_CHANGED, subject="token")], False),
        ([Drift(kind=DriftKind.BOOT)], False),
        ([dataclasses.replace(SYSTEM, lasting=True)], False),
        ([], False),
    ],
)
def test_a_system_that_differs_in_its_path_alone(
    drifts: list[Drift], *, only: bool
) -> None:
    assert only_path(desired(want()), drifts, Known(former=FORMER)) is only


@pytest.mark.parametrize(
    ("former", "only"),
    [
        pytest.param(FORMER, True, id="the same units"),
        pytest.param(None, False, id="not known"),
        pytest.param(
            dataclasses.replace(desired(want(), want("off.service")), toplevel=OLD),
            False,
            id="a unit goes that is not loaded",
        ),
        pytest.param(
            dataclasses.replace(desired(want(), BUS_UNIT), toplevel=OLD),
            True,
            id="the bus",
        ),
    ],
)
def test_a_path_alone_is_told_by_what_the_host_had(
    former: Desired | None, *, only: bool
) -> None:
    known = Known(applied=OLD, machine_id="m1", former=former)
    behind = observed(have(), running=OLD, profile=OLD)

    made = plan(desired(want()), behind, known=known, policy=Policy())

    assert (made.verdict, made.only_path) == (Verdict.DEPLOY, only)


# --- who updates himself ---------------------------------------------------------


@pytest.mark.parametrize(
    ("applied", "former", "verdict"),
    [
        pytest.param(NEW, None, Verdict.REPORTED, id="brought by us"),
        pytest.param(None, NEW, Verdict.REPORTED, id="in sync by itself"),
        pytest.param(OLD, OLD, Verdict.DEPLOY, id="a commit brings another one"),
    ],
)
def test_a_host_that_updates_itself_is_not_fought_with(
    applied: StorePath | None, former: StorePath | None, verdict: Verdict
) -> None:
    base = Base(updaters=("system.autoUpgrade",))
    aim = dataclasses.replace(desired(want()), base=base)
    was = dataclasses.replace(aim, toplevel=former) if former else None
    known = Known(applied=applied, machine_id="m1", former=was)
    left = observed(have(), running=StorePath("/nix/store/own"))

    made = plan(aim, left, known=known, policy=Policy())

    assert made.verdict is verdict
    assert ("system.autoUpgrade" in made.reason) is (verdict is Verdict.REPORTED)


def test_a_service_is_started_again_on_a_host_that_updates_itself() -> None:
    base = Base(updaters=("system.autoUpgrade",))
    aim = dataclasses.replace(desired(want()), base=base)
    seen = observed(have(active_state="inactive", sub_state="dead"))
    known = Known(applied=NEW, machine_id="m1")

    assert plan(aim, seen, known=known, policy=Policy()).verdict is Verdict.HEAL


def test_what_is_under_way_there_is_seen_to_its_end() -> None:
    """A person has it go back to what it was last in sync with, say."""
    base = Base(updaters=("system.autoUpgrade",))
    aim = dataclasses.replace(desired(want()), base=base)
    known = Known(applied=NEW, machine_id="m1", former=aim, under_way=True)
    left = observed(have(), running=StorePath("/nix/store/own"))

    assert plan(aim, left, known=known, policy=Policy()).verdict is Verdict.HEAL


def test_it_is_switched_to_the_specialisation_that_its_commit_wants() -> None:
    """After a reboot, say: it is no other system that it brought itself."""
    base = Base(updaters=("system.autoUpgrade",))
    aim = dataclasses.replace(
        desired(want()), base=base, specialisation="dark", specialisations=("dark",)
    )
    known = Known(applied=NEW, machine_id="m1")

    made = plan(aim, observed(have()), known=known, policy=Policy())

    assert (made.verdict, made.specialisation) == (Verdict.HEAL, "dark")
