"""
Secrets of sops-nix and agenix: what is said of them, from what modules declare.

The options are those that the modules have; of their files, age's are made by a real
age, and those of sops as it documents them.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from reconciler.desired import Evaluator, from_json, to_json
from reconciler.model import Desired, DesiredSecret, HostName, Known, Policy, Verdict
from reconciler.plan import not_judged, plan
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.adapters.desired_nix import PLAIN, host, settings
from tests.unit.plan.samples import OLD, observed

pytestmark = pytest.mark.nix

SOPS = """
  options.sops = {
    age.keyFile = lib.mkOption { type = types.nullOr types.path; default = null; };
    age.sshKeyPaths = lib.mkOption { type = paths; default = own "ed25519"; };
    age.plugins = lib.mkOption { type = types.listOf types.package; default = [ ]; };
    gnupg.home = lib.mkOption { type = types.nullOr types.str; default = null; };
    gnupg.sshKeyPaths = lib.mkOption { type = paths; default = own "rsa"; };
    environment = lib.mkOption { type = types.attrsOf types.str; default = { }; };
    secrets = lib.mkOption {
      default = { };
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          sopsFile = lib.mkOption { type = types.path; };
          path = lib.mkOption { type = types.str; default = "/run/secrets/${name}"; };
          mode = lib.mkOption { type = types.str; default = "0400"; };
          owner = lib.mkOption { type = types.nullOr types.str; default = null; };
          uid = lib.mkOption { type = types.nullOr types.int; default = 0; };
          group = lib.mkOption { type = types.nullOr types.str; default = null; };
          gid = lib.mkOption { type = types.nullOr types.int; default = 0; };
        };
      }));
    };
  };
"""
AGENIX = """
  options.age = {
    identityPaths = lib.mkOption {
      type = types.listOf types.path;
      default = own "rsa" ++ own "ed25519";
    };
    secrets = lib.mkOption {
      default = { };
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          file = lib.mkOption { type = types.path; };
          path = lib.mkOption { type = types.str; default = "/run/agenix/${name}"; };
          mode = lib.mkOption { type = types.str; default = "0400"; };
          owner = lib.mkOption { type = types.str; default = "0"; };
          group = lib.mkOption { type = types.str; default = "0"; };
        };
      }));
    };
  };
"""
KEYS = """
  services.openssh = {
    enable = true;
    hostKeys = [
      { type = "rsa"; bits = 4096; path = "/etc/ssh/ssh_host_rsa_key"; }
      { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; }
    ];
  };
"""


def module(options: str, config: str) -> str:
    return f"""
    {{ config, lib, ... }}:
    let
      inherit (lib) types;
      paths = types.listOf types.path;
      keys = config.services.openssh.hostKeys;
      ofType = type: builtins.filter (key: key.type == type) keys;
      own = type: map (key: key.path) (ofType type);
    in
    {{
      {options}
      config = {{ {PLAIN} {KEYS} {config} }};
    }}
    """


def evaluate(checkout: Path, options: str, config: str) -> Desired:
    evaluator = Evaluator(settings())
    return evaluator.evaluate(
        host(checkout, "keanu", module(options, config)), HostName("keanu")
    )


class Fleet:
    """A checkout, keys of hosts and people, and what we recorded of keanu."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        (self.checkout / "secrets").mkdir(parents=True)
        self.known_hosts = folder / "known_hosts"
        self.keys = {name: self._key(name) for name in ("keanu", "lufta")}
        self.known_hosts.write_text(f"keanu {self.keys['keanu']}\n")

    def _key(self, name: str) -> str:
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
        subprocess.run([*argv, str(self.folder / name)], check=True)
        return (self.folder / f"{name}.pub").read_text().strip()

    def names(self, desired: Desired) -> frozenset[str]:
        """Return what age calls the keys that are recorded for keanu."""
        made = Connections(SshSettings(), known_hosts=self.known_hosts)
        with closing(made) as connections:
            return connections.host_keys(desired.host, desired.target)

    def close(self, name: str, *keys: str) -> None:
        """Encrypt a secret with age for the SSH *keys*, and for a person."""
        person = pyrage.x25519.Identity.generate().to_public()
        ssh = [pyrage.ssh.Recipient.from_str(self.keys[key]) for key in keys]
        closed = pyrage.encrypt(b"content", [*ssh, person])
        (self.checkout / "secrets" / name).write_bytes(closed)

    def close_sops(self, name: str, *recipients: str) -> None:
        """Write a file as sops does for keys of age."""
        age = [{"recipient": one, "enc": "-----BEGIN AGE…"} for one in recipients]
        text = json.dumps({"db": "ENC[AES256_GCM,data:x]", "sops": {"age": age}})
        (self.checkout / "secrets" / name).write_text(text)

    def verdict(self, desired: Desired) -> tuple[Verdict, str]:
        """Return what is done with keanu, which runs another system."""
        behind = replace(observed(running=OLD, profile=OLD), host=HostName("keanu"))
        known = Known(machine_id="m1", host_keys=self.names(desired))
        made = plan(desired, behind, known=known, policy=Policy())
        return made.verdict, made.reason


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    return Fleet(tmp_path)


def test_secrets_of_agenix_are_compared_with_the_host_key(fleet: Fleet) -> None:
    fleet.close("mail.age", "lufta")
    declared = 'age.secrets.mail = { file = ../../secrets/mail.age; owner = "mail"; };'
    wrong = evaluate(fleet.checkout, AGENIX, declared)

    (found,) = wrong.secrets
    assert replace(found, recipients=()) == DesiredSecret(
        name="mail",
        tool="agenix",
        file="secrets/mail.age",
        path="/run/agenix/mail",
        user="mail",
        group="0",
        mode=0o400,
        readers=("rsa", "ed25519"),
    )
    assert from_json(to_json(wrong)) == wrong
    verdict, reason = fleet.verdict(wrong)
    assert verdict is Verdict.BLOCKED
    assert "secrets/mail.age and run: agenix --rekey" in reason

    fleet.close("mail.age", "lufta", "keanu")
    right = evaluate(fleet.checkout, AGENIX, declared)
    assert fleet.verdict(right) == (Verdict.DEPLOY, "")


def test_secrets_of_sops_are_compared_with_the_host_key(fleet: Fleet) -> None:
    declared = """
      sops.secrets.db = {
        sopsFile = ../../secrets/db.json;
        mode = "0440";
        gid = null;
      };
      sops.environment.SOPS_GPG_EXEC = "/bin/gpg";
    """
    fleet.close_sops("db.json", f"age1{'q' * 58}")
    wrong = evaluate(fleet.checkout, SOPS, declared)
    own = next(one for one in fleet.names(wrong) if one.startswith("age1"))

    (found,) = wrong.secrets
    assert (found.path, found.mode) == ("/run/secrets/db", 0o440)
    assert (found.user, found.group) == ("0", "0")
    verdict, reason = fleet.verdict(wrong)
    assert verdict is Verdict.BLOCKED
    assert f"add {own} to .sops.yaml" in reason
    assert "run: sops updatekeys secrets/db.json" in reason

    fleet.close_sops("db.json", own)
    right = evaluate(fleet.checkout, SOPS, declared)
    assert fleet.verdict(right) == (Verdict.DEPLOY, "")


@pytest.mark.parametrize(
    ("options", "config"),
    [
        (SOPS, 'sops.age.keyFile = "/var/lib/sops/key";'),
        (SOPS, 'sops.age.sshKeyPaths = [ "/persist/other" ];'),
        (SOPS, 'sops.environment.SOPS_AGE_KEY_FILE = "/key";'),
        (SOPS, 'sops.gnupg.home = "/root/.gnupg";'),
        (AGENIX, 'age.identityPaths = [ "/home/ann/.ssh/id_ed25519" ];'),
    ],
    ids=["file", "other-ssh-key", "environment", "gnupg", "agenix"],
)
def test_of_keys_that_nobody_here_knows_nothing_is_said(
    fleet: Fleet, options: str, config: str
) -> None:
    fleet.close("mail.age", "lufta")
    fleet.close_sops("db.json", f"age1{'q' * 58}")
    secret = (
        "sops.secrets.db.sopsFile = ../../secrets/db.json;"
        if options is SOPS
        else "age.secrets.mail.file = ../../secrets/mail.age;"
    )

    desired = evaluate(fleet.checkout, options, f"{config} {secret}")

    assert len(desired.secrets) == 1
    assert fleet.verdict(desired) == (Verdict.DEPLOY, "")


@pytest.mark.parametrize(
    "config",
    [
        'age = [ 1 ]; sops = "x";',
        "age.secrets = [ { } ]; sops.secrets = 1;",
        "age.secrets.a = 1; sops.secrets.b = { sopsFile = { }; };",
        'age.secrets.a.file = throw "no"; sops.secrets.b.sopsFile = ./absent.yaml;',
        'age.identityPaths = 1; age.secrets.a = { file = 1; mode = "x"; };',
    ],
)
def test_options_of_other_modules_keep_no_host_from_evaluating(
    tmp_path: Path, config: str
) -> None:
    """Somebody else may have called theirs so, with other types."""
    free = """
      options = lib.genAttrs [ "age" "sops" ] (
        _: lib.mkOption { type = types.unspecified; }
      );
    """
    text = config if "sops" in config else f"{config} sops = {{ }};"

    assert evaluate(tmp_path, free, text).toplevel


def test_what_an_activation_renews_each_time_is_known(tmp_path: Path) -> None:
    """A unit decrypts only when it changes, and fails for all to see."""
    snippets = "system.activationScripts"
    declared = """
      sops.secrets.db.sopsFile = ./db.json;
      age.secrets.mail.file = ./mail.age;
    """

    scripted = evaluate(
        tmp_path,
        f"{SOPS} {AGENIX}",
        f"""{declared}
        {snippets}.setupSecrets = lib.stringAfter [ "users" ] "true";
        {snippets}.agenixInstall = "true";
        """,
    )
    in_units = evaluate(tmp_path, f"{SOPS} {AGENIX}", declared)

    assert {one.name: one.renewed for one in scripted.secrets} == {
        "db": "/run/secrets",
        "mail": "/run/agenix",
    }
    assert {one.renewed for one in in_units.secrets} == {""}
    assert from_json(to_json(scripted)) == scripted


def test_without_either_tool_there_are_no_secrets(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "", "").secrets == ()


def test_what_cannot_be_judged_is_named_and_why(fleet: Fleet) -> None:
    of_pgp = {"age": [{"recipient": "age1ann"}], "pgp": [{"fp": "A" * 40}]}
    text = json.dumps({"db": "ENC[AES256_GCM,data:x]", "sops": of_pgp})
    (fleet.checkout / "secrets" / "db.json").write_text(text)
    fleet.close_sops("web.json", "age1ann")
    declared = """
      sops.secrets.db.sopsFile = ../../secrets/db.json;
      sops.secrets.web.sopsFile = ../../secrets/web.json;
      sops.secrets.gone.sopsFile = ../../secrets/gone.json;
    """
    desired = evaluate(fleet.checkout, SOPS, declared)

    told = not_judged(desired)

    assert "secrets/db.json: OpenPGP keys may decrypt it, too" in told
    assert "secrets/gone.json: it cannot be read" in told
    assert "web.json" not in told
