"""What NixOps kept in its state for years, taken over by one command."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from reconciler.desired import Evaluator
from reconciler.model import HostName
from reconciler.remote.known_hosts import known_keys
from reconciler.settings import load
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, write
from tests.support import warm
from tests.support.wait import patience

pytestmark = pytest.mark.nix


def public(fill: int) -> str:
    """Return a public key, of nobody."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([fill]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


HOST_KEY, OTHER_KEY = public(1), public(2)
CLIENT = f"{public(3)} NixOps client key for keanu"
PRIVATE = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----"
)
BODY = "b3Blbn"

EXPORT = {
    "0c7d": {
        "name": "prod",
        "nixExprs": '["/home/cadey/ops/network.nix", "/home/cadey/ops/more/x.nix"]',
        "nixPath": '["nixpkgs=/srv/nixpkgs"]',
        "args": json.dumps(
            {"domain": '"home.arpa"', "zones": '[ "a" 2 ]', "lib": "import ./x.nix"}
        ),
        "resources": {
            "keanu": {
                "type": "none",
                "targetHost": "192.0.2.1",
                "targetPort": "2222",
                "stateVersion": "20.03",
                "none.sshPrivateKey": PRIVATE,
                "none.sshPublicKey": CLIENT,
                "none.sshPublicKeyDeployed": "1",
            },
            "lufta": {
                "type": "libvirtd",
                "privateIpv4": "192.0.2.2",
                "libvirtd.clientPrivateKey": PRIVATE,
                "libvirtd.clientPublicKey": CLIENT,
            },
            "naomi": {
                "type": "ec2",
                "publicIpv4": "192.0.2.3",
                "privateIpv4": "10.0.0.3",
                "ec2.publicHostKey": HOST_KEY,
                "ec2.keyPair": "pair",
                "ec2.blockDeviceMapping": '{"/dev/xvdf": {"generatedKey": "k"}}',
            },
            "pair": {"type": "ec2-keypair", "privateKey": PRIVATE},
            "old": {"type": "none", "targetHost": "192.0.2.9", "obsolete": "1"},
            "bucket": {"type": "s3-bucket"},
        },
    }
}


class Taker:
    """Runs ``reconciler import`` with a state directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.file = folder / "export.json"
        self.config = folder / "reconciler.yaml"
        self.tell({})
        self.write(EXPORT)

    def tell(self, more: Mapping[str, object]) -> None:
        """Write the settings file."""
        repository = {"url": "/srv/git/machines.git", **more.get("repository", {})}  # type: ignore[dict-item]
        nix = {"options": OFFLINE, "path": [f"nixpkgs={NIXPKGS}"]}
        settings = {**more, "repository": repository, "nix": nix}
        self.config.write_text(json.dumps({**settings, "state": str(self.state)}))

    def write(self, export: object) -> None:
        """Write what NixOps exports."""
        self.file.write_text(json.dumps(export))

    def run(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; it never prints a private key."""
        argv = [sys.executable, "-m", "reconciler", "-c", str(self.config), "import"]
        done = warm.run(
            [*argv, str(self.file), *words],
            timeout=patience(100),
            env={**os.environ, "NO_COLOR": "1"},
        )
        assert done.returncode == status, done.stderr
        assert BODY not in done.stdout + done.stderr
        return done


@pytest.fixture
def taker(tmp_path: Path) -> Taker:
    return Taker(tmp_path)


def test_a_dry_run_shows_all_and_writes_nothing(taker: Taker) -> None:
    done = taker.run("--dry-run")

    told = yaml.safe_load(done.stdout)
    identities = taker.state / "identities"
    assert told == {
        "repository": {
            "layout": "nixops",
            "entry": ["network.nix", "more/x.nix"],
            "arguments": {"domain": "home.arpa", "zones": ["a", 2]},
            "physical": str(taker.state / "nixops-physical.nix"),
        },
        "nix": {"path": ["nixpkgs=/srv/nixpkgs"]},
        "hosts": {
            name: {"identity": str(identities / name)}
            for name in ("keanu", "lufta", "naomi")
        },
    }
    for note in (
        "the argument lib is an expression and no plain value (import ./x.nix)",
        "keanu: NixOps knows no host key of it: reconciler trust keanu",
        "naomi: it is of type ec2",
        "naomi: NixOps made keys of its disks",
        "bucket (s3-bucket)",
    ):
        assert note in done.stderr
    assert not taker.state.exists()


def test_what_is_taken_over_is_what_nixops_would_add(taker: Taker) -> None:
    """The host is where it was, of its old state version, and lets us in as before."""
    taker.run("-o", str(taker.folder / "added.yaml"))

    added = yaml.safe_load((taker.folder / "added.yaml").read_text())
    added["repository"]["entry"] = ["network.nix"]
    taker.tell({"repository": added["repository"], "hosts": added["hosts"]})
    settings = load(taker.config)
    identity = settings.hosts["keanu"].identity
    assert identity is not None
    assert identity.read_text() == f"{PRIVATE}\n"
    assert identity.stat().st_mode & 0o777 == 0o600
    known = known_keys(taker.state / "known_hosts", "192.0.2.3").accepted
    assert [key.type for key in known] == ["ssh-ed25519"]
    plain = PLAIN.partition("system.stateVersion")[0]
    checkout = write(
        taker.folder / "checkout",
        network=f"""
        {{ domain, ... }}: {{
          defaults = {{ config, lib, ... }}: {{
            options.services.openssh.knownHosts = lib.mkOption {{ }};
            config = {{
              {plain}
              services.openssh.enable = true;
              environment.etc.known.text = config.networking.extraHosts;
              deployment.tags = [
                domain
                config.system.stateVersion
                config.services.openssh.knownHosts.naomi.publicKey
              ];
            }};
          }};
          keanu = {{ }};
        }}
        """,
    )
    evaluator = Evaluator(settings)
    desired = evaluator.evaluate(checkout, HostName("keanu"))
    assert evaluator.hosts(checkout) == ("keanu",)
    assert desired.target.address == "192.0.2.1"
    assert desired.target.identity == str(identity)
    assert set(desired.tags) == {"home.arpa", "20.03", HOST_KEY}
    assert desired.ssh is not None
    assert len(desired.ssh.logins["root"]) == 1, "or our login is taken away"
    evaluator.build(desired, root=taker.folder / "root")
    hosts = (taker.folder / "root/etc/known").read_text()
    assert hosts == "127.0.0.1 keanu-encrypted\n192.0.2.3 naomi naomi-unencrypted\n"


def test_it_is_done_again_but_overwrites_nothing(taker: Taker) -> None:
    taker.run()
    taker.run()
    mine = taker.state / "identities/keanu"
    mine.write_text("mine")

    done = taker.run(status=1)

    assert f"{mine}: there is something else already" in done.stderr
    assert mine.read_text() == "mine"


def test_another_host_key_is_told_and_not_replaced(taker: Taker) -> None:
    taker.run()
    text = json.dumps(EXPORT).replace(HOST_KEY, OTHER_KEY)
    taker.write(json.loads(text))
    (taker.state / "nixops-physical.nix").unlink()

    done = taker.run("--json", status=1)

    told = json.loads(done.stdout)
    assert "reconciler trust --replace naomi" in " ".join(told["problems"])
    assert [key["host"] for key in told["host_keys"]] == ["naomi"]
    known = known_keys(taker.state / "known_hosts", "192.0.2.3").accepted
    assert len(known) == 1


def test_what_is_no_export_is_told_with_its_place(taker: Taker) -> None:
    taker.write({"u": {"resources": {"a": []}}})

    done = taker.run(status=1)

    assert f"{taker.file}: u.resources.a is no resource" in done.stderr
    assert not taker.state.exists()
