"""
A host's first generation, as nixos-install would leave it, baked into a layer.

The layer holds /nix with a real Nix database, generation 1 of the system profile
and the boot default. It depends only on the expressions and on the host's name, so
it is kept in the cache and lies read-only under every host of that name.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetlib.commands import run
from fleetlib.errors import FleetError
from fleetlib.locks import locked_once
from fleetlib.places import cache_dir

FORMAT = "1"  # change it when `_bake` lays things out differently
BUILD_DEADLINE = 600.0
COPY_DEADLINE = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expressions:
    """Where a first generation comes from."""

    nixpkgs: Path
    first_generation: Path  # a function of { nixpkgs, hostName } to a toplevel


def generation(host_name: str, expressions: Expressions) -> Path:
    """
    Return the layer with the first generation of *host_name*, baking it if needed.

    Raises `FleetError` with Nix's own words if it does not build.
    """
    layers = cache_dir() / "generations"
    name = f"{_hash(host_name, expressions)}-{host_name}"
    if not (layers / name).is_dir():
        with locked_once(layers / f"{name}.lock"):
            if not (layers / name).is_dir():
                _bake(layers / name, host_name, expressions)
    # `prune` goes by the time of the last use.
    os.utime(layers / name)
    return layers / name


def _hash(host_name: str, expressions: Expressions) -> str:
    digest = hashlib.sha256(f"{FORMAT}\0{host_name}\0".encode())
    for path in _files(expressions):
        digest.update(f"{path}\0{path.stat().st_mode:o}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(expressions: Expressions) -> Iterator[Path]:
    if not expressions.first_generation.is_file():
        msg = f"{expressions.first_generation}: no such file"
        raise FleetError(msg)
    if not expressions.nixpkgs.is_dir():
        msg = f"{expressions.nixpkgs}: no such folder"
        raise FleetError(msg)
    yield expressions.first_generation
    # A link into the store is as good as its content: the store never changes.
    yield from sorted(path for path in expressions.nixpkgs.rglob("*") if path.is_file())


def _bake(layer: Path, host_name: str, expressions: Expressions) -> None:
    for half_baked in layer.parent.glob(f"{layer.name}.tmp-*"):
        shutil.rmtree(half_baked)
    prefix = f"{layer.name}.tmp-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=layer.parent) as scratch:
        root = Path(scratch, "root")
        # The out link keeps the garbage collector away until the export is done.
        toplevel = _build(Path(scratch, "result"), host_name, expressions)
        _copy_closure(toplevel, root)
        _install(root, toplevel, host_name)
        root.chmod(0o755)
        root.rename(layer)


def _build(link: Path, host_name: str, expressions: Expressions) -> str:
    argv = ["nix-build", str(expressions.first_generation), "--out-link", str(link)]
    argv += ["--arg", "nixpkgs", str(expressions.nixpkgs.absolute())]
    argv += ["--argstr", "hostName", host_name, *_NIX_OPTIONS]
    run(argv, deadline=BUILD_DEADLINE, env=_environment())
    return str(link.readlink())


def _copy_closure(toplevel: str, root: Path) -> None:
    paths = run(
        ["nix-store", "--query", "--requisites", toplevel],
        deadline=COPY_DEADLINE,
        env=_environment(),
    )
    archive = run(
        ["nix-store", "--export", *paths.decode().split()],
        deadline=COPY_DEADLINE,
        env=_environment(),
    )
    argv = ["nix-store", "--store", str(root), "--import", *_NIX_OPTIONS]
    argv += ["--option", "require-sigs", "false"]
    run(argv, deadline=COPY_DEADLINE, stdin=archive, env=_environment())


def _install(root: Path, toplevel: str, host_name: str) -> None:
    state = root / "nix/var/nix"
    (state / "profiles/system-1-link").symlink_to(toplevel)
    (state / "profiles/system").symlink_to("system-1-link")
    profiles_root = state / "gcroots/profiles"
    profiles_root.unlink(missing_ok=True)
    profiles_root.symlink_to("/nix/var/nix/profiles")

    (root / "boot").mkdir()
    (root / "boot/default").symlink_to(toplevel)
    (root / "etc").mkdir()
    (root / "etc/hostname").write_text(f"{host_name}\n")


# Root without a daemon and without a builders' group; no cache is asked.
_NIX_OPTIONS = [
    *("--option", "build-users-group", ""),
    *("--option", "sandbox", "false"),
    *("--option", "substitute", "false"),
]


def _environment() -> dict[str, str]:
    # The machine's own expressions stay out, so that a host is the same everywhere.
    return {"NIX_PATH": "", "HOME": os.environ.get("HOME", "/root")}
