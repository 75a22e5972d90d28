"""Flakes for the machine's own Nix, locked to a nixpkgs that is in the store."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from reconciler.desired import Evaluator
from reconciler.model import Desired, HostName
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import EXAMPLE, NIXPKGS, OFFLINE, PLAIN

REV = "0123456789abcdef0123456789abcdef01234567"
MADE = 1_700_000_000


def nix(*argv: str, plain: bool = False) -> str:
    words = ((k, v) for k, v in OFFLINE.items() if not plain)
    options = [word for k, v in words for word in ("--option", k, v)]
    done = subprocess.run(
        [*argv, *options], check=False, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def as_fetched() -> Mapping[str, object]:
    """Put nixpkgs into the store, as fetching it would; return what locks it."""
    copied = f'"${{builtins.path {{ path = {NIXPKGS}; name = "source"; }}}}"'
    nix("nix-instantiate", "--eval", "--read-write-mode", "--expr", copied)
    digest = bytes.fromhex(nix("nix-hash", "--type", "sha256", NIXPKGS))
    return {
        "type": "github",
        "owner": "NixOS",
        "repo": "nixpkgs",
        # Nix 2.26 remembers trees by their commits: no two may have the same.
        "rev": hashlib.sha1(digest, usedforsecurity=False).hexdigest(),
        "lastModified": MADE,
        "narHash": f"sha256-{base64.b64encode(digest).decode()}",
    }


class Repository:
    """A checkout as the mirror makes it, with what git tells of its commit beside."""

    def __init__(self, folder: Path, nixpkgs: Mapping[str, object]) -> None:
        self.checkout = folder / REV / "source"
        self.checkout.mkdir(parents=True)
        self.nixpkgs = nixpkgs
        self.stamp(REV)

    def stamp(self, rev: str) -> None:
        """Say what git tells of the commit."""
        told = {"rev": rev, "revCount": 3, "lastModified": MADE}
        (self.checkout.parent / "commit.json").write_text(json.dumps(told))

    def write(self, name: str, text: str) -> None:
        """Write one file."""
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def lock(self, folder: str = ".") -> None:
        """Lock the input as if it had been fetched."""
        original = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "ref": "x"}
        node = {"locked": self.nixpkgs, "original": original}
        nodes = {"nixpkgs": node, "root": {"inputs": {"nixpkgs": "nixpkgs"}}}
        lock = {"nodes": nodes, "root": "root", "version": 7}
        (self.checkout / folder / "flake.lock").write_text(json.dumps(lock))

    def flake(
        self,
        outputs: str,
        *,
        folder: str = ".",
        lock: bool = True,
        helpers: str = "",
    ) -> None:
        """Write a flake with *outputs*, and its lock."""
        text = f"""
        {{
          inputs.nixpkgs.url = "github:NixOS/nixpkgs/x";
          outputs = {{ self, nixpkgs }}: let
            system = modules: nixpkgs.lib.nixosSystem {{
              system = "x86_64-linux";
              modules = [ {{ {PLAIN} }} ] ++ modules;
            }};
            {helpers}
          in {{ {outputs} }};
        }}
        """
        self.write(f"{folder}/flake.nix", text)
        if lock:
            self.lock(folder)

    def evaluator(
        self, *, inputs: Mapping[str, str] | None = None, **repository: object
    ) -> Evaluator:
        """Return what reads it, with settings of the section ``repository``."""
        named = {
            "inputs": inputs or {},
            "cage_paths": (NIXPKGS, "/nowhere"),
            # Nix 2.26 reads each file of a whole nixpkgs, unless it knows that it did.
            "evaluate_timeout": 300 if NIXPKGS == EXAMPLE else 3000,
        }
        nix = NixSettings.model_validate({"options": OFFLINE, **named})
        fields = {"url": "/srv/git/machines.git", **repository}
        return Evaluator(
            Settings(repository=RepositorySettings.model_validate(fields), nix=nix)
        )

    def hosts(
        self, *, inputs: Mapping[str, str] | None = None, **repository: object
    ) -> tuple[str, ...]:
        """Return the names of its hosts."""
        return self.evaluator(inputs=inputs, **repository).hosts(self.checkout)

    def evaluate(
        self,
        host: str,
        *,
        inputs: Mapping[str, str] | None = None,
        **repository: object,
    ) -> Desired:
        """Return what *host* should be."""
        evaluator = self.evaluator(inputs=inputs, **repository)
        found = evaluator.evaluate(self.checkout, HostName(host))
        assert isinstance(found, Desired)
        return found

    def own_tool(
        self, attribute: str, system: str = ".config.system.build.toplevel"
    ) -> str:
        """Return the derivation that Nix itself makes of a flake's attribute."""
        git = (
            "git",
            "-C",
            str(self.checkout),
            "-c",
            "user.name=x",
            "-c",
            "user.email=x",
        )
        subprocess.run([*git, "init", "-q"], check=True, timeout=60)
        subprocess.run([*git, "add", "-A"], check=True, timeout=60)
        subprocess.run([*git, "commit", "-qm", "x"], check=True, timeout=60)
        rev = subprocess.run(
            [*git, "rev-parse", "HEAD"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.strip()
        flake = f'builtins.getFlake "git+file://{self.checkout}?rev={rev}"'
        expression = f"({flake}).{attribute}{system}.drvPath"
        words = ("nix-instantiate", "--eval", "--json", "--expr", expression)
        flakes = ("--option", "extra-experimental-features", "flakes")
        said = nix(*words, *flakes, "--option", "pure-eval", "true")
        shutil.rmtree(self.checkout / ".git")
        return str(json.loads(said))
