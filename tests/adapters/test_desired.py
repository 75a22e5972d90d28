"""What the machine's own Nix says of hosts, and what it builds."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler import process
from reconciler.desired import Evaluator, from_json, still_valid, to_json
from reconciler.errors import BuildError, EvaluationError, UnknownHostError
from reconciler.model import (
    CheckKind,
    CheckSide,
    Desired,
    DesiredKey,
    DesiredUnit,
    Heal,
    HealthCheck,
    HostName,
    KeyOrigin,
    Target,
    UnitName,
    UnitRule,
)
from reconciler.settings import HostSettings, Layout
from tests.adapters.desired_nix import NIXPKGS, PLAIN, ROOT, host, settings, write

pytestmark = pytest.mark.nix

KEANU = HostName("keanu")


def evaluate(checkout: Path, name: str = "keanu") -> Desired:
    return Evaluator(settings()).evaluate(checkout, HostName(name))


def units(desired: Desired) -> dict[str, DesiredUnit]:
    return dict(desired.units)  # type: ignore[arg-type]


def keanu(checkout: Path, text: str) -> Desired:
    module = f"{{ config, lib, pkgs, name, nodes, ... }}: {{ {PLAIN}\n{text}\n}}"
    return evaluate(host(checkout, "keanu", module))


# --- units -----------------------------------------------------------------------

SERVICES = """
  systemd.services.plain = {
    wantedBy = [ "multi-user.target" ];
    script = "sleep 1d";
    serviceConfig.Type = "exec";
  };
  systemd.services.quiet = {
    script = "true";
    restartIfChanged = false;
    stopIfChanged = false;
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    environment.PASSWORD = "hunter2";
  };
  systemd.services.off = {
    enable = false;
    wantedBy = [ "multi-user.target" ];
    script = "x";
  };
  systemd.services.nightly = { script = "true"; startAt = "daily"; };
  systemd.services.listening = { script = "cat"; };
  systemd.sockets.listening = {
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "/run/listening" ];
  };
  systemd.services.helper = { script = "true"; };
  systemd.services.leader = {
    wantedBy = [ "multi-user.target" ];
    wants = [ "helper.service" "worker@1.service" ];
    script = "true";
  };
  systemd.services."worker@" = { script = "sleep 1d"; };
  systemd.units."by-hand.service" = {
    text = ''
      [Unit]
      Wants=late.target \\
        helper.service
      [Service]
      Type=notify
      ExecStart=/bin/true
    '';
    wantedBy = [ "multi-user.target" ];
  };
  systemd.targets.late = { };
"""


def test_units_are_listed_with_their_files_and_flags(tmp_path: Path) -> None:
    found = units(keanu(tmp_path, SERVICES))

    plain = found["plain.service"]
    assert plain.path is not None
    assert plain.path.startswith("/nix/store/")
    assert plain.path.endswith("-unit-plain.service/plain.service")
    assert (plain.type, plain.wanted, plain.triggered) == ("exec", True, False)

    quiet = found["quiet.service"]
    assert (quiet.type, quiet.remain_after_exit) == ("oneshot", True)
    flags = (quiet.wanted, quiet.restart_if_changed, quiet.stop_if_changed)
    assert flags == (False, False, False)

    assert found["off.service"].path is None
    assert not found["off.service"].wanted
    assert found["nightly.timer"].wanted
    assert found["nightly.service"].triggered
    assert found["listening.socket"].wanted
    assert found["listening.service"].triggered
    assert found["helper.service"].wanted
    assert found["worker@1.service"].path == found["worker@.service"].path
    assert found["worker@1.service"].wanted


def test_units_given_as_text_are_read_like_others(tmp_path: Path) -> None:
    found = units(keanu(tmp_path, SERVICES))

    assert found["by-hand.service"].type == "notify"
    assert found["by-hand.service"].wanted
    assert found["late.target"].wanted


def test_no_text_of_a_unit_leaves_nix(tmp_path: Path) -> None:
    assert "hunter2" not in to_json(keanu(tmp_path, SERVICES))


def test_a_very_long_line_in_a_unit_is_survived(tmp_path: Path) -> None:
    long = 'lib.concatStrings (lib.genList (_: "x") 500000)'
    desired = keanu(
        tmp_path,
        'systemd.services.a = { wantedBy = [ "multi-user.target" ]; '
        f'serviceConfig.ExecStart = "/bin/echo ${{{long}}}"; }};',
    )

    assert units(desired)["a.service"].wanted


def test_the_unit_file_is_where_the_desired_state_says(tmp_path: Path) -> None:
    desired = keanu(tmp_path, SERVICES)
    Evaluator(settings()).build(desired, root=tmp_path / "root")
    built = (unit.path for unit in desired.units.values() if unit.path)

    for path in built:
        assert Path(path).is_file(), path


# --- where a host is -------------------------------------------------------------


def test_a_host_is_reached_by_its_name_unless_told_otherwise(tmp_path: Path) -> None:
    assert keanu(tmp_path, "").target == Target(address="keanu")


def test_the_repository_says_where_a_host_is(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment = {
          targetHost = "127.0.80.1";
          targetPort = 2222;
          targetUser = "ops";
          privilegeEscalationCommand = [ "doas" ];
          tags = [ "web" ];
          hasFastConnection = true;
          buildOnTarget = true;
        };
        """,
    )

    assert desired.target == Target(
        address="127.0.80.1", port=2222, user="ops", escalation=("doas",)
    )
    assert desired.tags == ("web",)
    assert desired.fast_connection
    assert desired.build_on_host


def test_a_certain_specialisation_can_be_wanted(tmp_path: Path) -> None:
    has = "specialisation = { dark.configuration = { }; loud.configuration = { }; };"

    wanted = keanu(tmp_path / "a", has + 'deployment.specialisation = "loud";')
    assert (wanted.specialisation, wanted.specialisations) == ("loud", ("dark", "loud"))
    assert keanu(tmp_path / "b", has).specialisation == ""
    for nix, told in ((has, "it has: dark, loud"), ("", "it has: none")):
        with pytest.raises(EvaluationError, match=told):
            keanu(tmp_path / told, nix + 'deployment.specialisation = "lond";')


def test_the_port_is_that_of_the_hosts_ssh_server(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path, "services.openssh = { enable = true; ports = [ 2200 ]; };"
    )

    assert desired.target.port == 2200


def test_who_gets_in_is_known(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4T"
    (tmp_path / "keys.pub").write_text(f"# mine\n{key} me\n\n")

    desired = keanu(
        tmp_path,
        f"""
        services.openssh = {{
          enable = true;
          ports = [ 2200 2201 ];
          settings.PermitRootLogin = "no";
        }};
        users.users.root.openssh.authorizedKeys.keys = [ "restrict {key} x" ];
        users.users.ops = {{
          isNormalUser = true;
          openssh.authorizedKeys.keyFiles = [ {tmp_path}/keys.pub ];
        }};
        """,
    )

    server = desired.ssh
    assert server is not None
    assert (server.enabled, server.root_login) == (True, "no")
    assert server.ports == (2200, 2201)
    assert server.open_ports is None or {2200, 2201} <= set(server.open_ports)
    assert server.host_keys
    assert server.logins["root"] == server.logins["ops"]
    assert server.logins["ops"][0].startswith("ssh-ed25519 SHA256:")
    assert from_json(to_json(desired)).ssh == server


def test_the_settings_override_the_repository(tmp_path: Path) -> None:
    checkout = host(tmp_path, "keanu", f"{{ {PLAIN} }}")
    overrides = {"keanu": HostSettings(address="127.0.80.7", port=23, user="me")}

    desired = Evaluator(settings(hosts=overrides)).evaluate(checkout, KEANU)

    assert desired.target == Target(address="127.0.80.7", port=23, user="me")


def test_the_host_name_follows_from_the_repository_unless_set(tmp_path: Path) -> None:
    assert "-nixos-system-keanu-" in keanu(tmp_path / "a", "").toplevel
    named = keanu(tmp_path / "b", 'networking.hostName = "neo";')
    assert "-nixos-system-neo-" in named.toplevel
    assert named.target.address == "keanu"


@pytest.mark.parametrize(
    ("name", "host_name"),
    [
        ("Web.example.org", "Web"),
        ("a_b", "a_b"),
        ("we ird", "nixos"),
        ("-x.example.org", "nixos"),
        ("x" * 64, "nixos"),
    ],
)
def test_a_name_that_nixos_does_not_take_is_no_default(
    tmp_path: Path, name: str, host_name: str
) -> None:
    """NixOS takes no dots in `networking.hostName`, and the error named our file."""
    where = 'deployment.targetHost = "192.0.2.1";'
    host(tmp_path, name, f"{{ {PLAIN} {where} }}")

    desired = evaluate(tmp_path, name)

    assert f"-nixos-system-{host_name}-" in desired.toplevel


def test_what_a_host_stands_on_is_told(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
          users.users.ann = { isNormalUser = true; hashedPassword = "$6$hidden"; };
          users.users.bob = { isNormalUser = true; hashedPassword = "!"; };
          environment.etc.fstab.text = ''
            # by hand
            /dev/sda1 / ext4 x,password=hidden 0 1
          '';
          systemd.services.mine = {
            script = "nixos-rebuild switch";
            startAt = "daily";
          };
          systemd.services.other = { script = "true"; startAt = "daily"; };
        """,
    )
    base = desired.base

    assert base is not None
    assert base.state_version == "25.05"
    assert (base.users["ann"], base.users["bob"]) == (True, False)
    assert base.mounts is not None
    assert [(one.place, one.device) for one in base.mounts] == [("/", "/dev/sda1")]
    assert base.updaters == ("mine.timer",)
    assert "mine.timer switches this host without us" in desired.warnings[0]
    assert "hidden" not in to_json(desired)
    assert from_json(to_json(desired)).base == base


@pytest.mark.parametrize(
    ("config", "updaters"),
    [
        ("{ }", []),
        ("{ system.autoUpgrade.enable = false; services.comin = { }; }", []),
        (
            """{
              system.autoUpgrade.enable = true;
              services.comin.enable = true;
              systemd.timers.nixos-upgrade.timerConfig = { };
              systemd.timers.own.timerConfig.Unit = "job.service";
              systemd.timers.off.enable = false;
              systemd.services.nixos-upgrade.script = "nixos-rebuild switch";
              systemd.services.off.script = "nixos-rebuild switch";
              systemd.services.job.serviceConfig.ExecStart = [ "nixos-rebuild boot" ];
            }""",
            ["system.autoUpgrade", "services.comin", "own.timer"],
        ),
    ],
    ids=["none of the options", "off", "on"],
)
def test_who_updates_himself_is_found_in_any_configuration(
    config: str, updaters: list[str]
) -> None:
    """Not every nixpkgs has each option, and ours has few."""
    base = ROOT / "reconciler/desired/nix/base.nix"
    text = f"import {base} {{ config = {config}; lib = import {NIXPKGS}/lib; }}"

    done = process.run(
        ("nix-instantiate", "--eval", "--strict", "--json", "--expr", text), deadline=60
    )

    found = json.loads(done.stdout)
    assert found["updaters"] == updaters
    assert (found["mounts"], found["users"], found["loader"]) == (None, {}, "")


def test_what_the_configuration_warns_of_is_known(tmp_path: Path) -> None:
    assert keanu(tmp_path / "a", "").warnings == ()
    text = 'warnings = [ "foo is old" "so is ${builtins.placeholder "out"}" ];'
    first, second = keanu(tmp_path / "b", text).warnings
    assert (first, second[:6]) == ("foo is old", "so is ")
    assert from_json(to_json(keanu(tmp_path / "b", text))).warnings == (first, second)


def test_what_other_tools_declare_is_legal(tmp_path: Path) -> None:
    keanu(
        tmp_path,
        """
        deployment = {
          targetEnv = "ec2";
          ec2 = { region = "eu-west-1"; instanceType = "t2.micro"; };
          encryptedLinksTo = [ "chrysalis" ];
          owners = [ "a@example.org" ];
          alwaysActivate = false;
          allowLocalDeployment = true;
          replaceUnknownProfiles = false;
          provisionSSHKey = false;
          sshOptions = [ "-4" ];
          storeKeysOnMachine = false;
        };
        networking.privateIPv4 = "10.0.0.1";
        networking.publicIPv4 = null;
        """,
    )


def test_keys_are_known_and_stay_in_nix(tmp_path: Path) -> None:
    secret = tmp_path / "hosts/keanu/secret"
    desired = keanu(
        tmp_path,
        """
        deployment.keys = {
          plain = "hunter2";
          text.text = "hunter2";
          command.keyCommand = [ "echo" "hunter2" ];
          file = { keyFile = ./secret; destDir = "/var/keys"; user = "a"; group = "b";
            permissions = "0400"; name = "other"; uploadAt = "post-activation";
            restartUnits = [ "bot" "other.timer" ]; };
        };
        environment.etc.paths.text = lib.concatMapStringsSep " " (key: key.path)
          (lib.attrValues config.deployment.keys);
        """,
    )
    assert not secret.exists()
    assert desired.keys["command"].command == ("echo", "hunter2")
    assert desired.keys["file"] == DesiredKey(
        name="file",
        path="/var/keys/other",
        origin=KeyOrigin.FILE,
        file="hosts/keanu/secret",
        user="a",
        group="b",
        mode=0o400,
        before_activation=False,
        restart_units=(UnitName("bot.service"), UnitName("other.timer")),
    )
    assert [desired.keys[name].origin for name in ("plain", "text")] == [
        KeyOrigin.TEXT,
        KeyOrigin.TEXT,
    ]
    assert to_json(desired).count("hunter2") == 1  # the argument of the command

    Evaluator(settings()).build(desired, root=tmp_path / "root")
    paths = (tmp_path / "root/etc/paths").read_text()
    assert paths == "/run/keys/command /var/keys/other /run/keys/plain /run/keys/text"


def test_a_key_file_does_not_reach_the_store(tmp_path: Path) -> None:
    secret = tmp_path / "hosts/keanu/secret-for-this-test"
    secret.parent.mkdir(parents=True)
    secret.write_text("hunter2")

    keanu(tmp_path, "deployment.keys.file.keyFile = ./secret-for-this-test;")

    store = Path("/nix/store")
    assert not list(store.glob("*-secret-for-this-test"))


def test_a_missing_text_does_not_keep_the_host_from_evaluating(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment.keys = {
          a.text = builtins.readFile ./gone;
          b = { config, ... }: { text = builtins.readFile ./gone; };
          c = lib.mkMerge [ { text = builtins.readFile ./gone; } { user = "u"; } ];
          d = { text = lib.mkIf false (throw "never"); keyFile = "/etc/d"; };
        };
        """,
    )

    origins = {name: key.origin.value for name, key in desired.keys.items()}
    assert origins == {"a": "text", "b": "text", "c": "text", "d": "file"}


# --- health checks ---------------------------------------------------------------


def test_health_checks_of_morph_are_known(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment.healthChecks = {
          http = [
            { scheme = "https"; port = 443; host = "web.example"; path = "/healthz";
              headers.Host = name; period = 1; timeout = 3; insecureSSL = true;
              description = "the web"; }
          ];
          cmd = [ { cmd = [ "nc" "-vz" "localhost" "22" ]; description = "ssh"; } ];
        };
        """,
    )

    assert desired.checks == (
        HealthCheck(
            kind=CheckKind.HTTP,
            side=CheckSide.RECONCILER,
            name="the web",
            scheme="https",
            host="web.example",
            port=443,
            path="/healthz",
            headers={"Host": "keanu"},
            period=1,
            timeout=3,
            insecure=True,
        ),
        HealthCheck(
            kind=CheckKind.COMMAND,
            side=CheckSide.HOST,
            name="ssh",
            command=("nc", "-vz", "localhost", "22"),
        ),
    )
    assert from_json(to_json(desired)) == desired


def test_health_checks_say_more_than_morphs(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment.healthChecks = {
          tcp = [ { port = 25; from = "host"; within = 0.5; } ];
          http = [ { port = 80; status = 204; } { port = 81; status = [ 401 403 ]; } ];
          command = [ { command = [ "ping" ]; from = "reconciler"; } ];
        };
        """,
    )

    assert [check.status for check in desired.checks] == [(204,), (401, 403), (), ()]
    tcp, command = desired.checks[2:]
    assert (tcp.side, tcp.within) == (CheckSide.HOST, 0.5)
    assert (command.side, command.command) == (CheckSide.RECONCILER, ("ping",))


def test_a_repository_says_how_single_units_are_treated(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        systemd.services.app.script = "exec sleep infinity";
        deployment.units.app.heal = "restart-only";
        deployment.units."app.timer" = { heal = false; };
        deployment.units."scanner.service".mayFail = true;
        """,
    )

    rules = {
        UnitName("app.service"): UnitRule(heal=Heal.RESTART_ONLY),
        UnitName("app.timer"): UnitRule(heal=Heal.NOTHING),
        UnitName("scanner.service"): UnitRule(may_fail=True),
    }
    assert desired.rules == rules
    app = desired.units[UnitName("app.service")]
    assert (app.heal, app.may_fail) == (Heal.RESTART_ONLY, False)
    assert from_json(to_json(desired)) == desired


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('deployment.units."a b".heal = false;', "a b.* is no name of a unit"),
        ('deployment.units.app.heal = "never";', "deployment.units.app.heal"),
    ],
)
def test_a_rule_for_no_unit_is_an_error(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        keanu(tmp_path, text)


def test_a_file_that_is_no_unit_is_not_judged_as_one(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        systemd.units."app.service.d/more.conf".text = "[Service]\\nNice=1\\n";
        systemd.services.app.script = "exec sleep infinity";
        """,
    )

    assert [name for name in desired.units if name.startswith("app.")] == [
        "app.service"
    ]


def test_a_program_of_a_health_check_comes_with_the_system(tmp_path: Path) -> None:
    checks = 'deployment.healthChecks.cmd = [ {{ cmd = [ "{}" ]; }} ];'
    program = '${pkgs.writeScript "look-for-it" "true"}'
    plain = keanu(tmp_path, "")
    same = keanu(tmp_path, checks.format("true"))
    desired = keanu(tmp_path, checks.format(program))
    (check,) = desired.checks

    Evaluator(settings()).build(desired, root=tmp_path / "root")
    closure = process.run(["nix-store", "-qR", desired.toplevel], deadline=30).stdout

    assert check.name == f"command {Path(check.command[0]).name}"
    assert check.command[0] in closure.splitlines()
    assert same.toplevel == plain.toplevel


# --- the units of keys -----------------------------------------------------------


def test_each_key_has_a_unit_that_nobody_starts_by_itself(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment.keys = { a.text = "a"; late = { text = "l"; uploadAt =
          "post-activation"; }; };
        systemd.services.bot = {
          wantedBy = [ "multi-user.target" ];
          wants = [ "a-key.service" ];
          script = "true";
        };
        """,
    )
    found = units(desired)
    assert (found["a-key.service"].wanted, found["late-key.service"].wanted) == (
        True,
        False,
    )

    Evaluator(settings()).build(desired, root=tmp_path / "root")
    folder = tmp_path / "root/etc/systemd/system"
    unit = (folder / "a-key.service").read_text()
    for line in ("TimeoutStartSec=infinity", "Restart=always", "RestartSec=100ms"):
        assert line in unit
    assert "Wants=a-key.service\n" in (folder / "keys.target").read_text()


def test_a_unit_of_that_name_stays_its_owners(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        deployment.keys.a.text = "a";
        systemd.services.a-key = {
          description = "Decrypt";
          serviceConfig.Type = "oneshot";
          script = "true";
        };
        """,
    )
    path = units(desired)["a-key.service"].path
    assert path is not None

    Evaluator(settings()).build(desired, root=tmp_path / "root")
    unit = Path(path).read_text()
    assert "Description=Decrypt" in unit
    assert "Restart=" not in unit
    assert "ExecStartPre=" not in unit


def test_a_host_without_keys_has_nothing_of_them(tmp_path: Path) -> None:
    desired = keanu(tmp_path, "")
    Evaluator(settings()).build(desired, root=tmp_path / "root")

    assert not [name for name in desired.units if name.endswith("-key.service")]
    target = tmp_path / "root/etc/systemd/system/keys.target"
    assert "Wants=" not in target.read_text()


# --- networks --------------------------------------------------------------------


def network(checkout: Path, text: str, **others: str) -> Path:
    return write(checkout, network=text, **others)


def test_a_network_is_a_set_of_machines(tmp_path: Path) -> None:
    checkout = network(
        tmp_path,
        f"""
        {{
          network.description = "x";
          defaults = {{ {PLAIN} deployment.tags = [ "all" ]; }};
          keanu = {{ deployment.tags = [ "web" ]; }};
          lufta = {{ deployment.targetHost = "127.0.80.2"; }};
        }}
        """,
    )
    evaluator = Evaluator(settings())

    assert evaluator.hosts(checkout) == ("keanu", "lufta")
    assert evaluator.evaluate(checkout, KEANU).tags == ("all", "web")
    lufta = evaluator.evaluate(checkout, HostName("lufta"))
    assert lufta.target.address == "127.0.80.2"


def test_files_make_one_network_and_bring_others_along(tmp_path: Path) -> None:
    """Definitions add up over files; a required file is read once, even in a ring."""
    write(
        tmp_path,
        logical=f"""
        {{ domain ? "home.arpa" }}: {{
          require = [ ./more.nix ];
          keanu = {{ {PLAIN} environment.etc.domain.text = domain; }};
        }}
        """,
        physical="""{ keanu = { deployment.targetHost = "127.0.80.3"; }; }""",
        more=f"""
        {{
          require = [ ./logical.nix ];
          defaults.deployment.tags = [ "more" ];
          lufta = {{ {PLAIN} }};
        }}
        """,
    )
    evaluator = Evaluator(settings("logical.nix", "physical.nix"))

    assert evaluator.hosts(tmp_path) == ("keanu", "lufta")
    keanu_desired = evaluator.evaluate(tmp_path, KEANU)
    assert keanu_desired.target.address == "127.0.80.3"
    assert keanu_desired.tags == ("more",)


def test_machines_see_each_other_and_the_deployment(tmp_path: Path) -> None:
    checkout = network(
        tmp_path,
        f"""
        {{
          resources.sshKeyPairs.main = {{ publicKey = "ssh-ed25519 x"; }};
          defaults = {{ {PLAIN} }};
          keanu = {{ name, nodes, resources, uuid, deploymentName,
              config, lib, ... }}: {{
            environment.etc.facts.text = lib.concatStringsSep "|" [
              name
              (lib.concatStringsSep "," (lib.attrNames nodes))
              nodes.lufta.config.networking.hostName
              resources.machines.lufta.networking.hostName
              resources.sshKeyPairs.main.publicKey
              deploymentName
              (toString (builtins.stringLength uuid))
              config.deployment.name
              (lib.boolToString (config.deployment.uuid == uuid))
            ];
          }};
          lufta = {{ networking.hostName = "neo"; }};
        }}
        """,
    )
    evaluator = Evaluator(settings())

    evaluator.build(evaluator.evaluate(checkout, KEANU), root=tmp_path / "root")

    facts = (tmp_path / "root/etc/facts").read_text()
    assert facts == (
        "keanu|keanu,lufta|neo|neo|ssh-ed25519 x|machines|36|machines|true"
    )


def test_a_network_may_bring_its_own_nixpkgs(tmp_path: Path) -> None:
    checkout = network(
        tmp_path,
        f"""
        {{
          network.nixpkgs = import {NIXPKGS} {{ }};
          keanu = {{ {PLAIN} }};
        }}
        """,
    )

    desired = Evaluator(settings(path=(), cage_paths=(NIXPKGS,))).evaluate(
        checkout, KEANU
    )

    assert "-nixos-system-keanu-" in desired.toplevel


def test_a_network_of_morphs_says_with_what_it_is_evaluated(tmp_path: Path) -> None:
    checkout = network(
        tmp_path,
        f"""
        {{
          network.pkgs = import {NIXPKGS} {{
            overlays = [ (_: _: {{ mark = "of-the-network"; }}) ];
          }};
          network.specialArgs.role = ./role.nix;
          keanu = {{ pkgs, role, ... }}: {{
            imports = [ role ];
            {PLAIN}
            deployment.substituteOnDestination = true;
            deployment.targetHost = pkgs.mark;
          }};
        }}
        """,
    )
    (checkout / "role.nix").write_text('{ deployment.tags = [ "web" ]; }')

    desired = Evaluator(settings(path=(), cage_paths=(NIXPKGS,))).evaluate(
        checkout, KEANU
    )

    assert desired.tags == ("web",)
    assert desired.target.address == "of-the-network"


def test_both_layouts_of_the_same_machines_agree(tmp_path: Path) -> None:
    text = f'{{ {PLAIN} systemd.services.a = {{ script = "true"; }}; }}'
    host(tmp_path, "keanu", text)
    write(tmp_path, network="{ keanu = ./hosts/keanu/configuration.nix; }")

    by_layout = {
        Evaluator(settings(layout=layout)).evaluate(tmp_path, KEANU).toplevel
        for layout in (Layout.HOSTS, Layout.NIXOPS)
    }

    assert len(by_layout) == 1


# --- names -----------------------------------------------------------------------


ODD = f'{PLAIN} networking.hostName = "odd"; deployment.targetHost = "odd.example";'


@pytest.mark.parametrize("name", ["we ird", "a'b\"c", '${builtins.abort "x"}', "-E"])
def test_odd_names_are_only_names(tmp_path: Path, name: str) -> None:
    checkout = host(tmp_path, name, f"{{ {ODD} }}")
    evaluator = Evaluator(settings())

    assert evaluator.hosts(checkout) == (name,)
    assert evaluator.evaluate(checkout, HostName(name)).host == name


def test_odd_names_of_a_network_are_only_names(tmp_path: Path) -> None:
    checkout = network(
        tmp_path,
        f"""{{ "we ird \\"''" = {{ {ODD} }}; }}""",
    )
    evaluator = Evaluator(settings())
    (name,) = evaluator.hosts(checkout)

    assert name == "we ird \"''"
    assert evaluator.evaluate(checkout, name).host == name


@pytest.mark.parametrize("layout", [Layout.HOSTS, Layout.NIXOPS])
def test_an_unknown_host_is_told_who_is_known(tmp_path: Path, layout: Layout) -> None:
    host(tmp_path, "keanu", f"{{ {PLAIN} }}")
    write(tmp_path, network="{ keanu = ./hosts/keanu/configuration.nix; }")
    evaluator = Evaluator(settings(layout=layout))

    with pytest.raises(UnknownHostError) as caught:
        evaluator.evaluate(tmp_path, HostName("kenau"))

    assert caught.value.known == ("keanu",)


# --- the cache -------------------------------------------------------------------


def test_what_was_evaluated_can_be_kept_and_built_later(tmp_path: Path) -> None:
    desired = from_json(to_json(keanu(tmp_path, SERVICES)))

    Evaluator(settings()).build(desired, root=tmp_path / "roots/keanu")

    assert (tmp_path / "roots/keanu").resolve() == Path(desired.toplevel)


def test_the_same_checkout_elsewhere_is_the_same_system(tmp_path: Path) -> None:
    assert keanu(tmp_path / "a", SERVICES) == keanu(tmp_path / "b", SERVICES)


def test_the_cache_key_follows_everything_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(
        *entry: str,
        tree: str = "t",
        name: str = "keanu",
        layout: Layout = Layout.AUTO,
        address: str = "keanu",
        **nix: object,
    ) -> str:
        hosts = {"keanu": HostSettings(address=address)}
        evaluator = Evaluator(settings(*entry, layout=layout, hosts=hosts, **nix))
        return evaluator.cache_key(tree, HostName(name))

    same = {key(), key()}
    others = [
        key(tree="u"),
        key(name="lufta"),
        key(layout=Layout.HOSTS),
        key("network.nix"),
        key(address="127.0.80.9"),
        key(options={"cores": "1"}),
        key(path=(f"nixpkgs={tmp_path}",)),
    ]
    monkeypatch.setenv("NIX_PATH", f"nixpkgs={tmp_path}")
    others.append(key())
    overlaid = Evaluator(settings(), overlays=lambda _places: "other")
    others.append(overlaid.cache_key("t", KEANU))

    assert len(same) == 1
    assert len({*same, *others}) == 1 + len(others)


# --- builds ----------------------------------------------------------------------

BROKEN = """
  systemd.services.broken = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = pkgs.runCommand "withinbot-1.0" { } ''
      echo compiling
      echo "error: no such module" >&2
      exit 3
    '';
  };
"""


def test_a_build_is_kept_and_heard(tmp_path: Path) -> None:
    unique = f'environment.etc.now.text = "{time.monotonic_ns()}";'
    desired = keanu(tmp_path, unique)
    heard: list[str] = []

    Evaluator(settings()).build(desired, root=tmp_path / "root", on_line=heard.append)

    assert (tmp_path / "root").readlink() == Path(desired.toplevel)
    assert any("building '" in line for line in heard)
    roots = process.run(
        ["nix-store", "--query", "--roots", desired.toplevel], deadline=30
    )
    assert str(tmp_path / "root") in roots.stdout


def test_a_failed_build_names_what_failed_and_quotes_its_log(tmp_path: Path) -> None:
    desired = keanu(tmp_path, BROKEN)

    with pytest.raises(BuildError, match=r"withinbot-1\.0 failed to build") as caught:
        Evaluator(settings()).build(desired, root=tmp_path / "root")

    assert caught.value.host == KEANU
    assert "compiling\nerror: no such module" in caught.value.log
    assert not (tmp_path / "root").exists()


def test_a_build_without_end_is_stopped(tmp_path: Path) -> None:
    desired = keanu(
        tmp_path,
        """
        environment.etc.never.source = pkgs.runCommand "never" { } "exec sleep 1000";
        """,
    )

    with pytest.raises(BuildError, match=r"nix\.build_timeout"):
        Evaluator(settings(build_timeout=1)).build(desired, root=tmp_path / "root")


def test_a_collected_derivation_asks_for_another_evaluation(tmp_path: Path) -> None:
    unique = f'environment.etc.now.text = "{time.monotonic_ns()}";'
    evaluator = Evaluator(settings())
    desired = keanu(tmp_path, unique)
    assert still_valid(desired)
    process.run(["nix-store", "--delete", desired.derivation], deadline=30)

    assert not still_valid(desired)
    with pytest.raises(BuildError, match="evaluated again"):
        evaluator.build(desired, root=tmp_path / "root")

    again = evaluator.evaluate(tmp_path, KEANU)
    assert again == desired
    evaluator.build(again, root=tmp_path / "root")


# --- many at once ----------------------------------------------------------------


def test_many_threads_may_ask_at_once(tmp_path: Path) -> None:
    names = [f"h{number}" for number in range(8)]
    for name in names:
        host(tmp_path, name, f"{{ {PLAIN} }}")
    evaluator = Evaluator(settings())
    start = threading.Barrier(len(names))

    def ask(name: str) -> Desired:
        start.wait(10)
        return evaluator.evaluate(tmp_path, HostName(name))

    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(ask, names))

    assert [desired.host for desired in found] == names
    assert len({desired.toplevel for desired in found}) == len(names)


# --- the repositories of this project --------------------------------------------


@pytest.mark.parametrize("layout", [Layout.HOSTS, Layout.NIXOPS])
def test_the_example_evaluates_in_both_layouts(layout: Layout) -> None:
    checkout = ROOT / "examples/repo"
    evaluator = Evaluator(settings(layout=layout))

    assert evaluator.hosts(checkout) == ("chrysalis", "keanu", "lufta")
    found = [evaluator.evaluate(checkout, name) for name in evaluator.hosts(checkout)]
    assert len({desired.toplevel for desired in found}) == 3
    services = {name for desired in found for name in desired.units}
    assert {"withinbot.service", "printerfacts.service"} <= services
    assert all(
        unit.wanted
        for desired in found
        for unit in desired.units.values()
        if unit.name in {"withinbot.service", "printerfacts.service"}
    )


def test_the_repository_of_another_owner_evaluates() -> None:
    checkout = ROOT / "tests/support/repos/other-owner"
    evaluator = Evaluator(settings())

    assert evaluator.hosts(checkout) == ("attic", "cellar")
    for name in evaluator.hosts(checkout):
        assert evaluator.evaluate(checkout, name).units
