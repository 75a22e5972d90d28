"""Units: what their files say, where they lie, and which of them a change touches."""

from pathlib import Path

import pytest

from tests.nixpkgs.conftest import HERE, Nix

pytestmark = pytest.mark.nix

SERVICES = str(HERE / "units_services.nix")

TREE = str(HERE / "units_tree.nix")


def texts(nix: Nix) -> dict[str, str]:
    """Return the text of every unit of SERVICES, by name."""
    units = nix.value(f"""
        builtins.mapAttrs (_: unit: unit.text) {nix.config(SERVICES)}.systemd.units
    """)
    assert isinstance(units, dict)
    return units


def test_a_service_is_what_its_options_say(nix: Nix) -> None:
    lines = texts(nix)["plain.service"].splitlines()
    unit, service = lines[: lines.index("[Service]")], lines[lines.index("[Service]") :]

    assert unit == [
        "[Unit]",
        "After=network.target other.service",
        "ConditionPathExists=/a",
        "ConditionPathExists=/b",
        "Description=A plain service",
        "Documentation=man:plain(8)",
        "StartLimitBurst=3",
        "StartLimitIntervalSec=60",
        "Wants=other.service",
        "X-Reload-Triggers=three",
        "X-Restart-Triggers=one 2",
        "",
    ]
    pre_start = next(line for line in service if "plain-pre-start" in line)
    assert pre_start.endswith("-unit-script-plain-pre-start/bin/plain-pre-start")
    assert [line for line in service if line != pre_start] == [
        "[Service]",
        'Environment="COUNT=3"',
        'Environment="EVERYWHERE=yes"',
        'Environment="GREETING=it\'s \\"quoted\\""',
        "DynamicUser=false",
        "ExecStart=/bin/true",
        "ExecStartPre=/bin/first",
        "PrivateTmp=true",
        "Restart=always",
    ]


def test_switching_rules_are_keys_of_the_service(nix: Nix) -> None:
    units = texts(nix)

    assert "X-RestartIfChanged=false\n" in units["kept.service"]
    assert "X-ReloadIfChanged=true\n" in units["reloaded.service"]
    assert "X-StopIfChanged=false\n" in units["inPlace.service"]
    assert "X-" not in units["sometimes.service"]


def test_other_kinds_of_unit(nix: Nix) -> None:
    units = texts(nix)

    assert units["sock.socket"] == (
        "[Unit]\n\n[Socket]\nAccept=true\nListenStream=/run/a\nListenStream=80\n"
    )
    assert (
        units["tick.timer"]
        == "[Unit]\n\n[Timer]\nOnCalendar=daily\nOnCalendar=hourly\n"
    )
    assert units["sometimes.timer"] == "[Unit]\n\n[Timer]\nOnCalendar=daily\n"
    assert units["srv-a\\x2db.mount"] == (
        "[Unit]\n\n[Mount]\nOptions=size=1M\nType=tmpfs\nWhat=tmpfs\nWhere=/srv/a-b\n"
    )
    assert units["small.slice"] == "[Unit]\n\n[Slice]\nMemoryMax=1M\n"
    assert units["watch.path"] == "[Unit]\n\n[Path]\nPathExists=/x\n"


def test_the_directory_of_units(nix: Nix) -> None:
    units = nix.build(f"{nix.config(TREE)}.system.build.units")

    def link(name: str) -> str:
        return str((units / name).readlink())

    assert link("default.target") == "multi-user.target"
    assert (units / "masked.service").resolve() == Path("/dev/null")
    assert not (units / "multi-user.target.wants/masked.service").is_symlink()
    assert link("aliased.service").endswith("-unit-aliased.service/aliased.service")
    assert link("other-name.service") == "aliased.service"
    assert link("multi-user.target.wants/aliased.service") == "../aliased.service"
    assert link("graphical.target.requires/aliased.service") == "../aliased.service"
    assert link("many@.service").endswith("-unit-many-.service/many@.service")
    # Additions to what somebody else brings: a package, a template, the machine.
    for added in ("packaged", "many@one", "systemd-journald"):
        assert (units / f"{added}.service.d/overrides.conf").is_file()
    assert "packaged.service" in link("packaged.service")
    assert not (units / "systemd-journald.service").exists()


def test_a_change_of_one_service_changes_no_other_unit(nix: Nix) -> None:
    """A unit's store path is its identity: equal path, equal unit."""

    def paths(value: str) -> dict[str, str]:
        module = f"""{{
          systemd.services.a = {{ script = "sleep {value}"; }};
          systemd.services.b = {{ script = "sleep 1"; }};
        }}"""
        found = nix.value(f"""
            builtins.mapAttrs (_: u: u.unit.outPath) {nix.config(module)}.systemd.units
        """)
        assert isinstance(found, dict)
        return found

    before, after = paths("1"), paths("2")

    assert {name for name in before if before[name] != after[name]} == {"a.service"}


def test_a_contradiction_is_refused(nix: Nix) -> None:
    module = """{
      systemd.services.once.serviceConfig = { Type = "oneshot"; Restart = "always"; };
    }"""
    message = nix.error(f"{nix.config(module)}.system.build.toplevel.drvPath")

    assert "once.service" in message
    assert "Restart=always" in message
