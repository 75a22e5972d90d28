"""The NixOS module, evaluated with the stand-in for nixpkgs."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from reconciler.settings import Settings, change, load, nixos
from reconciler.settings.changes import FIXED, LIVE
from tests.deploy.conftest import DEPLOY
from tests.nixpkgs.conftest import Nix
from tests.support.rig import ROOT

pytestmark = pytest.mark.nix

MODULE = DEPLOY / "nixos" / "module.nix"
GENERATED = DEPLOY / "nixos" / "settings.nix"
REFERENCE = ROOT / "docs" / "settings.md"
REAL_LIB = os.environ.get("REAL_NIXPKGS_LIB")

# One value for each setting that is not its default, by section; YAML and Nix.
EVERYTHING = {
    "repository": """{
        url = "ssh://git@git.example.org/infra.git";
        fallbacks = [ "https://git.example.com/infra.git" ];
        branch = "feature/x";
        tag = "v*";
        allow_force = true;
        verify = {
          openpgp = [ "/etc/keys.asc" ];
          allowed_signers = "/etc/allowed";
          revoked = "/etc/revoked";
          since = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        };
        poll = "1h30m";
        refresh = "12h";
        layout = "hosts";
        dir = "nix";
        entry = [ "machines" ];
        exclude = [ "iso" ];
        without_submodules = [ "vendor" ];
        arguments = { domain = "example.org"; zones = [ 1 null { a = true; } ]; };
        physical = "/var/lib/physical.nix";
        mount_at = "/home/me/nixos-configs";
        pure = false;
        secrets."common/secrets" = "/var/lib/secrets";
        secrets.db = { path = "/var/lib/of-db"; hosts = [ "db-*" ]; };
    }""",
    "nix": """{
        path = [ "nixpkgs=/srv/nixpkgs" ];
        options = { cores = 4; sandbox = false; substituters = "https://example.org"; };
        inputs.private = "/srv/private";
        memory = "6G";
        jobs = 3;
        evaluate_timeout = 120;
        build_timeout = "1d";
        signing_key = "/etc/signing-key";
        cage = "required";
        cage_paths = [ "/srv/modules" ];
        allowed_uris = [ "https://git.example.org" ];
    }""",
    "cache": """{
        push = [ "s3://bucket?region=eu-west-1" "attic:fleet" ];
    }""",
    "secrets": """{
        identity = [ "/etc/ssh/key" ];
        command_timeout = "2.5s";
        command_paths = [ "/var/lib/passwords" ];
    }""",
    "ssh": """{
        identity = "${config.services.reconciler.credentialsDirectory}/id_ed25519";
        known_hosts = "/etc/known";
        connect_timeout = 2.5;
        address = "{name}.lan";
    }""",
    "hosts": """{
        chrysalis = {
          address = "::1"; port = 2222; user = "deploy"; identity = "/etc/k";
        };
        no = { address = "example.org"; build = "host"; };
        "7" = { transport = "local"; };
        laptop = {
          transport = "pull"; host_keys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5" ];
        };
    }""",
    "policy": """{
        mode = "report";
        adopt = "always";
        heal = false;
        parallel = 3;
        interval = 5;
        bell = "off";
        settle = "3s";
        confirm_timeout = "30s";
        switch_timeout = "5m";
        removal_limit = "off";
        min_free = "1.5G";
        reboot = "allowed";
        specialisation = "base";
        units."backup.service".heal = false;
    }""",
    "report": """{
        url = "https://reconciler.example.org/central";
        interval = "10m";
        key = "/etc/ssh/ssh_host_rsa_key";
    }""",
    "notify": """{
        targets = [ {
          name = "phone";
          url_file = "/run/keys/ntfy";
          events = [ "failed" "drift" ];
          hosts = [ "@house" ];
          title = "$hosts: $summary";
          body = [ "$details" "-- the reconciler" ];
        } ];
        group = 0;
        flap = { changes = 6; window = "1h"; };
    }""",
    "statuses": """[ {
        provider = "forgejo";
        url = "https://git.example.org";
        repository = "me/nixos-configs";
        token_file = "/run/keys/forgejo";
    } ]""",
    "http": """{ listen = "[::1]:0"; proxies = [ "10.0.0.0/8" ]; }""",
    "metrics": """{
        push = {
          url = "https://push.example.org";
          interval = "30s";
          job = "pulling";
          instance = "laptop";
          user = "laptop";
          secret_file = "/run/keys/push";
        };
    }""",
    "api": """{
        tokens = [ { name = "ci"; role = "operator"; file = "/run/keys/api"; } ];
        loopback_reads = true;
    }""",
    "webhooks": """{
        push = { provider = "gitlab"; secret_file = [ "/run/keys/hook" ]; };
        srht = {
          provider = "sourcehut";
          public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        };
    }""",
    "state": """{
        path = "/var/lib/elsewhere";
        database = "postgresql:///reconciler?host=/run/postgresql";
    }""",
}


def machine(settings: str = "", rest: str = "") -> str:
    """Return a module for a host that runs the reconciler."""
    return f"""
      {{ config, lib, pkgs, ... }}: {{
        imports = [ {MODULE} ];
        services.reconciler = {{
          enable = true;
          package = pkgs.writeShellScriptBin "reconciler" ''
            exec {sys.executable} -m reconciler "$@"
          '';
          settings = {{ {settings} }};
          {rest}
        }};
      }}
    """


def unit(nix: Nix, module: str) -> dict[str, list[str]]:
    """Return the section [Service] of the unit that *module* makes."""
    units = f'{nix.config(module)}.systemd.units."reconciler.service".text'
    return service_section(str(nix.value(units)))


def service_section(text: str) -> dict[str, list[str]]:
    """Return every value of each key of [Service], lists taken apart."""
    found: dict[str, list[str]] = {}
    _, _, section = text.partition("[Service]\n")
    section, _, _ = section.partition("\n[")
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).extend(value.split())
    return found


def rendered(nix: Nix, module: str) -> Path:
    """Build the settings file of *module*; return its path."""
    source = 'environment.etc."reconciler/reconciler.yaml".source'
    return nix.build(f"{nix.config(module)}.{source}")


# --- the options -----------------------------------------------------------------


def test_the_options_are_up_to_date() -> None:
    told = (
        "run: python -m reconciler.settings.nixos <docs/settings.md"
        " >deploy/nixos/settings.nix"
    )
    assert GENERATED.read_text() == nixos.module(REFERENCE.read_text()), told


def schema_names(schema: dict[str, Any]) -> set[str]:
    """Return every setting of the JSON schema; tables have ``<name>``, lists ``*``."""

    def below(part: dict[str, Any], place: str) -> Iterator[str]:
        for one in (part, *part.get("anyOf", ()), *part.get("allOf", ())):
            if "$ref" in one:
                yield from below(schema["$defs"][one["$ref"].split("/")[-1]], place)
            for name, inner in one.get("properties", {}).items():
                here = f"{place}.{name}" if place else name
                yield from list(below(inner, here)) or [here]
            table = one.get("additionalProperties")
            if isinstance(table, dict):
                yield from below(table, f"{place}.<name>")
            if "items" in one:
                yield from below(one["items"], f"{place}.*")

    return set(below(schema, ""))


def option_names(nix: Nix, lib: str) -> set[str]:
    """Return every option below `services.reconciler.settings`, tables opened."""
    names = nix.value(f"""
      let
        lib = {lib};
        pkgs = import <nixpkgs> {{ }};
        options = (lib.evalModules {{
          modules = [ {MODULE} {{ _module.args.pkgs = pkgs; _module.check = false; }} ];
        }}).options.services.reconciler;
      in map (option: option.name) (lib.optionAttrSetToDocList options)
    """)
    assert isinstance(names, list)
    prefix = "services.reconciler.settings."
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    inner = {name for name in found if "_module." not in name}
    # A table of sections is an option itself; what counts is what is in it.
    return {name for name in inner if not any(o.startswith(f"{name}.") for o in inner)}


def test_every_setting_is_an_option(nix: Nix) -> None:
    settings = schema_names(Settings.model_json_schema())

    assert "hosts.<name>.address" in settings
    assert option_names(nix, "import <nixpkgs/lib>") == settings


@pytest.mark.skipif(REAL_LIB is None, reason="REAL_NIXPKGS_LIB names no library")
def test_the_real_library_finds_the_same_options(nix: Nix) -> None:
    ours = option_names(nix, "import <nixpkgs/lib>")

    assert option_names(nix, f"import {REAL_LIB}") == ours


# --- the settings file -----------------------------------------------------------


def test_what_is_not_set_has_the_default_of_the_schema(
    nix: Nix, tmp_path: Path
) -> None:
    file = rendered(nix, machine('repository.url = "/srv/repo.git";'))

    minimal = tmp_path / "reconciler.yaml"
    minimal.write_text("repository: {url: /srv/repo.git}")
    assert load(file) == load(minimal)
    assert '"policy"' in file.read_text(), "it is written down all the same"


def test_every_setting_can_be_set(nix: Nix, tmp_path: Path) -> None:
    assert set(EVERYTHING) == set(Settings.model_fields), "add the section above"
    text = "".join(f"{name} = {value};" for name, value in EVERYTHING.items())

    settings = load(rendered(nix, machine(text)))

    minimal = tmp_path / "reconciler.yaml"
    minimal.write_text("repository: {url: /srv/repo.git}")
    default = load(minimal).model_dump()
    for section, values in settings.model_dump().items():
        if not isinstance(values, dict):
            continue
        before = default[section]
        unchanged = [key for key in values if values[key] == before.get(key)]
        assert not unchanged, f"{section}: add these above"
    assert settings.repository.poll == 5400
    assert settings.ssh.identity == Path(
        "/run/credentials/reconciler.service/id_ed25519"
    )
    assert settings.hosts["chrysalis"].port == 2222
    assert list(settings.hosts) == ["7", "chrysalis", "laptop", "no"]
    assert settings.state.path == Path("/var/lib/elsewhere")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        pytest.param("branch = ./settings.nix;", "not of type `string'", id="path"),
        pytest.param("secrets.x = ./secrets;", "not of type", id="a secret's path"),
        pytest.param('layout = "argo";', 'one of "auto"', id="choice"),
        pytest.param('poll = "soon";', "not of type", id="duration"),
        pytest.param("poll = 0;", "not of type", id="no duration"),
    ],
)
def test_what_has_the_wrong_type_does_not_evaluate(
    nix: Nix, setting: str, told: str
) -> None:
    module = machine(f'repository = {{ url = "/srv/repo.git"; {setting} }};')

    error = nix.error(f"{nix.config(module)}.system.build.toplevel.drvPath")

    assert "services.reconciler.settings.repository" in error
    assert told in " ".join(error.split())


class Secretive(BaseModel):
    """A setting that some section may have one day."""

    url: SecretStr | None = None


def test_a_secret_does_not_get_into_the_store(nix: Nix, tmp_path: Path) -> None:
    file = tmp_path / "settings.nix"
    file.write_text(nixos.module("| `url` | text | none | Where. |", Secretive))
    lib = "import <nixpkgs/lib>"
    options = f"import {file} {{ lib = {lib}; freeform = null; }}"
    config = f"(({lib}).evalModules {{ modules = [ {{ options = {options}; %s }} ]; }})"

    assert nix.value(f"({config % ''}).config.url") is None
    told = config % 'config.url = "hunter2";'
    error = nix.error(f"({told}).config.url")

    assert "Name a file instead" in error


def test_a_repository_has_to_be_named(nix: Nix) -> None:
    error = nix.error(f"{nix.config(machine())}.system.build.toplevel.drvPath")

    assert "services.reconciler.settings.repository.url" in error
    assert "no value defined" in error


BAD = 'repository = { url = "/srv/repo.git"; brunch = "main"; };'


def test_what_the_reconciler_refuses_does_not_build(nix: Nix) -> None:
    source = f'{nix.config(machine(BAD))}.environment.etc."reconciler/reconciler.yaml"'

    done = nix.run("nix-build", "--no-out-link", "-E", f"{source}.source")

    assert done.returncode != 0
    assert "repository.brunch: is no setting; did you mean branch?" in done.stderr


def test_the_check_can_be_turned_off(nix: Nix) -> None:
    file = rendered(nix, machine(BAD, "checkSettings = false;"))

    assert '"brunch": "main"' in file.read_text()


# --- the unit --------------------------------------------------------------------

# What the two units do not share, for reasons.
OF_ONE_KIND = {"ExecStart", "ExecReload", "Environment", "X-StopIfChanged"}


def test_the_unit_is_hardened_as_the_one_for_other_systems(nix: Nix) -> None:
    other = service_section((DEPLOY / "systemd" / "reconciler.service").read_text())
    ours = unit(nix, machine('repository.url = "/srv/repo.git";'))

    def comparable(section: dict[str, list[str]]) -> dict[str, list[str]]:
        yes = {"true": "yes", "false": "no"}
        return {
            name: [yes.get(value, value) for value in values]
            for name, values in section.items()
            if name not in OF_ONE_KIND
        }

    assert comparable(ours) == comparable(other)
    assert len(other) > 30


def test_pull_mode_deploys_the_host_itself_and_nothing_else(nix: Nix) -> None:
    rest = "pull.enable = true;"
    module = machine('repository.url = "/srv/repo.git";', rest)
    named = module.replace("services", 'networking.hostName = "laptop"; services', 1)

    settings, section = load(rendered(nix, named)), unit(nix, named)

    assert list(settings.hosts) == ["laptop"]
    assert settings.hosts["laptop"].is_local
    assert settings.repository.entry == ("laptop",)
    assert (section["User"], section["Group"]) == (["root"], ["root"])
    # What it runs is to see the host as root does at a login.
    hiding = ("Private", "Protect", "Restrict", "SystemCall", "Capability", "NoNew")
    assert [name for name in section if name.startswith(hiding)] == []
    assert section["WatchdogSec"] == ["60s"]


BASE = {"repository": {"url": "/srv/repo.git"}}
CHANGES: dict[str, dict[str, object]] = {
    "repository.url": {"repository": {"url": "/srv/other.git"}},
    "repository.allow_force": {"repository": {"allow_force": False}},
    "repository.poll": {"repository": {"poll": "5m"}},
    "repository.secrets": {"repository": {"secrets": {"a": "/b"}}},
    "cache": {"cache": {"push": ["file:///srv/cache"]}},
    "nix": {"nix": {"build_timeout": "2h"}},
    "secrets": {"secrets": {"identity": ["/etc/ssh/key"]}},
    "ssh": {"ssh": {"connect_timeout": 2.5}},
    "hosts": {"hosts": {"lufta": {"port": 2222}}},
    "policy.mode": {"policy": {"mode": "report"}},
    "policy.removal_limit": {"policy": {"removal_limit": "off"}},
    "policy.parallel": {"policy": {"parallel": 3}},
    "notify": {"notify": {"group": 0}},
    "statuses": {
        "statuses": [
            {"provider": "github", "repository": "me/x", "token_file": "/token"}
        ]
    },
    "http": {"http": {"listen": "[::1]:0"}},
    "metrics": {"metrics": {"push": {"url": "http://127.0.0.1:9091"}}},
    "api.tokens": {"api": {"tokens": [{"name": "ci", "role": "viewer", "file": "/t"}]}},
    "api.loopback_reads": {"api": {"loopback_reads": True}},
    "webhooks": {"webhooks": {"push": {"provider": "gitea", "secret_file": ["/s"]}}},
    "report": {"report": {"interval": "10m"}},
    "state": {"state": "/var/lib/elsewhere"},
}
"""A change of each setting, by its name."""


def changed(change: dict[str, Any]) -> dict[str, object]:
    """Return the settings with *change*."""
    return {
        **change,
        "repository": {**BASE["repository"], **change.get("repository", {})},
    }


def triggers(nix: Nix, *settings: dict[str, object]) -> list[dict[str, str]]:
    """Return what restarts and what reloads the daemon, for each of the *settings*."""
    units = [
        f'{nix.config(machine(nix_text(one)))}.systemd.units."reconciler.service".text'
        for one in settings
    ]
    texts = nix.value(f"[ {' '.join(f'({unit})' for unit in units)} ]")
    assert isinstance(texts, list)
    pattern = re.compile(r"^X-(Restart|Reload)-Triggers=(/nix/store/.*)$", re.MULTILINE)
    return [dict(pattern.findall(text)) for text in texts]


def nix_text(settings: dict[str, object]) -> str:
    """Return *settings* as attributes for `machine`."""
    values = f"(builtins.fromJSON {json.dumps(json.dumps(settings))})"
    return f"inherit {values} {' '.join(settings)};"


def test_a_switch_restarts_the_daemon_only_where_a_reload_is_not_enough(
    nix: Nix,
) -> None:
    """A restart costs every connection, and the passes that are under way."""
    assert {name.partition(".")[0] for name in CHANGES} == set(Settings.model_fields)
    assert {name for name in LIVE | FIXED if "." in name} <= {*CHANGES}
    before, *after = triggers(nix, BASE, *map(changed, CHANGES.values()))
    assert before.keys() == {"Restart", "Reload"}
    old = Settings.model_validate(BASE)

    for made, (name, one) in zip(after, CHANGES.items(), strict=True):
        waits = change(old, Settings.model_validate(changed(one))).restart
        restarts = made["Restart"] != before["Restart"]
        assert restarts is bool(waits), name
        assert made["Reload"] != before["Reload"], name


def test_a_switch_reloads_and_restarts_as_late_as_it_can(nix: Nix) -> None:
    section = unit(nix, machine('repository.url = "/srv/a.git";'))

    assert section["X-StopIfChanged"] == ["false"]
    assert section["ExecReload"][1:] == ["-HUP", "$MAINPID"]


def test_credentials_are_loaded_by_systemd(nix: Nix) -> None:
    credentials = 'credentials = { id = "/etc/keys/id"; token = "/etc/keys/token"; };'
    section = unit(nix, machine('repository.url = "/srv/repo.git";', credentials))

    assert section["LoadCredential"] == ["id:/etc/keys/id", "token:/etc/keys/token"]


def test_a_state_directory_elsewhere_may_be_written_to(nix: Nix) -> None:
    elsewhere = 'repository.url = "/srv/repo.git"; state = "/data/reconciler";'
    section = unit(nix, machine(elsewhere))

    assert section["ReadWritePaths"] == ["/data/reconciler"]
    assert "StateDirectory" not in section
    rules = nix.value(f"{nix.config(machine(elsewhere))}.systemd.tmpfiles.rules")
    assert "d /data/reconciler 0700 reconciler reconciler -" in str(rules)


def test_another_user_is_not_made(nix: Nix) -> None:
    other = 'user = "git"; group = "git";'
    module = machine('repository.url = "/srv/repo.git";', other)

    assert unit(nix, module)["User"] == ["git"]
    names = nix.value(f"builtins.attrNames {nix.config(module)}.users.users")
    assert "reconciler" not in str(names)
