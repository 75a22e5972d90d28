"""Keys of every origin reach a real host, late ones and those of new users too."""

from collections.abc import Iterator

import pyrage
import pytest

from tests.support.extra import add_extras, flat, set_extra
from tests.support.fleet import FleetFactory, FleetHost
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

KEYS = r"""
  users.users.newcomer = { isSystemUser = true; group = "newcomer"; };
  users.groups.newcomer = { };
  deployment.keys.from-file.keyFile = ./from-file.txt;
  deployment.keys.from-age = { keyFile = ./from-age.txt.age; permissions = "0640"; };
  deployment.keys.from-command.keyCommand = [ "printf" "from a\ncommand" ];
  deployment.keys.late = {
    text = "from a text, late";
    uploadAt = "post-activation";
    user = "newcomer";
    group = "newcomer";
    destDir = "/run/late";
  };
  deployment.keys.of-newcomer = { text = "of one who is new"; user = "newcomer"; };
  deployment.keys.read-once = { text = "first"; restartUnits = [ "reader.service" ]; };
  systemd.services.reader = {
    wantedBy = [ "multi-user.target" ];
    after = [ "read-once-key.service" ];
    wants = [ "read-once-key.service" ];
    script = "cat /run/keys/read-once; exec sleep infinity";
  };
"""
SECRETS = r"""
  # As sops-nix does: a new generation with each activation, or none at all.
  imports = [ { options.sops = lib.mkOption { type = lib.types.unspecified; }; } ];
  sops.secrets.db.sopsFile = ./from-file.txt;
  system.activationScripts.setupSecrets = lib.stringAfter [ "users" ] ''
    if [ -e /run/no-key ]; then
      echo failed to decrypt
      (exit 1)
    else
      generation=$(basename "$(readlink /run/secrets || echo 0)")
      new=/run/secrets.d/$((generation + 1))
      mkdir -p "$new"
      (umask 277; echo "a secret" >"$new/db")
      ln -sfn "$new" /run/secrets
    fi
  '';
"""


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Deploy a host with a key of each origin."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet("keanu")) as rig:
        identity = pyrage.x25519.Identity.generate()
        (folder / "age.key").write_text(f"{identity}\n")
        rig.write_settings(secrets={"identity": str(folder / "age.key")})
        add_extras(rig, "keanu")
        set_extra(rig, "keanu", KEYS + SECRETS)
        host = rig.repository.work / "hosts/keanu"
        (host / "from-file.txt").write_text("from a file")
        sealed = pyrage.encrypt(b"from age", [identity.to_public()])
        (host / "from-age.txt.age").write_bytes(sealed)
        rig.run_daemon()
        rig.push("Keys of every origin")
        rig.wait_in_sync("keanu")
        yield rig


@pytest.mark.parametrize(
    ("path", "content", "rights"),
    [
        ("/run/keys/from-file", "from a file", "root:root 600"),
        ("/run/keys/from-age", "from age", "root:root 640"),
        ("/run/keys/from-command", "from a\ncommand", "root:root 600"),
        ("/run/late/late", "from a text, late", "newcomer:newcomer 600"),
        ("/run/keys/of-newcomer", "of one who is new", "newcomer:root 600"),
        ("/run/keys/read-once", "first", "root:root 600"),
    ],
)
def test_a_key_is_on_the_host(rig: Rig, path: str, content: str, rights: str) -> None:
    host = rig.host("keanu")

    assert host.exec("cat", path) == content
    assert host.exec("stat", "-c", "%U:%G %a", path).strip() == rights


def test_the_folder_of_keys_is_in_memory_and_for_its_group(rig: Rig) -> None:
    host = rig.host("keanu")

    assert host.exec("stat", "-c", "%U:%G %a", "/run/keys").strip() == "root:keys 750"
    assert host.exec("stat", "-f", "-c", "%T", "/run/keys").strip() in (
        "tmpfs",
        "ramfs",
    )


def test_a_generation_that_an_activation_could_not_renew_is_told(rig: Rig) -> None:
    """Whoever switches by hand may overlook that a snippet failed."""
    host = rig.host("keanu")
    host.exec("sh", "-c", "touch -h -d '2 hours ago' /run/secrets /run/secrets.d/*")
    host.exec("touch", "/run/no-key")

    host.exec("sh", "-c", "! /run/current-system/activate")

    shown = rig.run("plan", "keanu", status=None).stdout
    assert "/run/secrets" in shown
    assert "min older than the last activation" in flat(shown)
    host.exec("rm", "/run/no-key")
    host.exec("/run/current-system/activate")
    assert "/run/secrets" not in rig.run("plan", "keanu", status=0).stdout


def test_only_the_units_that_ask_for_it_are_restarted(rig: Rig) -> None:
    reader = rig.invocation("keanu", "reader.service")
    others = {
        unit: rig.invocation("keanu", unit)
        for unit in ("printerfacts.service", "from-file-key.service")
    }
    set_extra(rig, "keanu", KEYS.replace('"first"', '"second"'))

    rig.push("Another content")

    rig.wait_in_sync("keanu")
    assert rig.host("keanu").exec("cat", "/run/keys/read-once") == "second"
    assert rig.invocation("keanu", "reader.service") != reader
    assert {unit: rig.invocation("keanu", unit) for unit in others} == others


def test_one_bad_key_is_named_and_the_others_are_served(rig: Rig) -> None:
    host = rig.repository.work / "hosts/keanu"
    (host / "from-age.txt.age").write_bytes(b"no age at all")
    (host / "from-file.txt").write_text("from another file")

    rig.push("One key that cannot be opened")

    wait_until(
        lambda: (
            _content(rig.host("keanu"), "/run/keys/from-file") == "from another file"
        ),
        DEADLINE,
        "the good key to be delivered",
    )
    states = {key["key"]: key["state"] for key in rig.json("keys", status=1)}
    assert "from-age.txt.age" in states["from-age"]
    assert states["from-file"] == "in place"
    assert _content(rig.host("keanu"), "/run/keys/from-age") == "from age"


def _content(host: FleetHost, path: str) -> str:
    return host.exec("cat", path)
