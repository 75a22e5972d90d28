"""Systems that somebody else has built: fetched, and read as they are."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.errors import (
    EvaluationError,
    FetchError,
    LayoutError,
    PermanentError,
    UnknownHostError,
)
from reconciler.model import Desired, HostName
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import OFFLINE, PLAIN, host, settings
from tests.adapters.test_desired import SERVICES

pytestmark = pytest.mark.nix

WEB = HostName("web")
NOWHERE = f"/nix/store/{'0' * 32}-nixos-system-web-25.05"


def reads(options: Mapping[str, str] = OFFLINE, rule: str | None = None) -> Evaluator:
    return Evaluator(
        Settings.model_validate(
            {
                "repository": RepositorySettings(
                    url="/srv/git/paths.git", entry=("paths.json",)
                ),
                "nix": NixSettings.model_validate({"options": options}),
                "ssh": {"address": rule},
            }
        )
    )


def paths(checkout: Path, text: object) -> Path:
    """Write what CI writes."""
    checkout.mkdir(exist_ok=True)
    told = text if isinstance(text, str) else json.dumps(text)
    (checkout / "paths.json").write_text(told)
    return checkout


def built(folder: Path, text: str) -> Desired:
    """Evaluate and build a host, as CI does; return what it should be."""
    module = f"{{ config, lib, pkgs, ... }}: {{ {PLAIN}\n{text}\n}}"
    evaluator = Evaluator(settings())
    desired = evaluator.evaluate(host(folder / "ci", "web", module), WEB)
    evaluator.build(desired, root=folder / "ci-root")
    return desired


MORE = """
  networking.hostName = "www";
  specialisation.quiet.configuration = { };
  systemd.services.known = { script = "true"; aliases = [ "alias.service" ]; };
  systemd.services."worker@2" = {
    overrideStrategy = "asDropin";
    wantedBy = [ "multi-user.target" ];
    restartIfChanged = false;
  };
  systemd.targets.late.requiredBy = [ "multi-user.target" ];
"""


def test_a_system_is_read_as_its_evaluation_would_tell(tmp_path: Path) -> None:
    desired = built(tmp_path, f"{SERVICES} {MORE}")
    checkout = paths(tmp_path / "checkout", {"web": desired.toplevel})
    evaluator = reads(rule="{hostName}.lan")

    found = evaluator.evaluate(checkout, WEB)

    assert evaluator.hosts(checkout) == ("web",)
    assert evaluator.why(checkout) == "paths, by paths.json"
    assert found.toplevel == desired.toplevel
    assert dict(found.units) == dict(desired.units)
    assert (found.target.address, found.address_from) == ("www.lan", "ssh.address")
    assert found.specialisations == desired.specialisations == ("quiet",)
    evaluator.build(found, root=tmp_path / "root", checkout=checkout)
    assert (tmp_path / "root").resolve() == Path(desired.toplevel)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"web": ', "paths.json:1 is no JSON"),
        ('["web"]', "paths.json should be"),
        ('{"web": "/a", "web": "/b"}', "'web' is in it twice"),
        ('{"a/b": "/a"}', "'a/b' cannot be the name of a host"),
    ],
)
def test_what_is_no_file_of_paths(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(LayoutError) as caught:
        reads().hosts(paths(tmp_path / "checkout", text))

    assert told in str(caught.value)


def test_what_is_no_system_costs_no_other_host(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no system")
    options = [w for k, v in OFFLINE.items() for w in ("--option", k, v)]
    added = subprocess.run(
        ["nix-store", "--add", str(file), *options],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.strip()
    told: dict[str, tuple[object, type[Exception], str]] = {
        "elsewhere": ("/home/x", EvaluationError, "has no path of the store for it"),
        "inside": (f"{added}/bin", EvaluationError, "has no path of the store for it"),
        "number": (5, EvaluationError, "has no path of the store for it"),
        "no-system": (
            added,
            EvaluationError,
            "is no NixOS system: it has no bin/switch",
        ),
        "nowhere": (
            NOWHERE,
            FetchError,
            "is neither here nor in a cache that Nix asks",
        ),
    }
    checkout = paths(tmp_path / "c", {name: one[0] for name, one in told.items()})
    evaluator = reads()

    assert set(evaluator.hosts(checkout)) == set(told)
    for name, (_, error, text) in told.items():
        with pytest.raises(error) as caught:
            evaluator.evaluate(checkout, HostName(name))
        assert text in str(caught.value)
    with pytest.raises(UnknownHostError):
        evaluator.evaluate(checkout, WEB)


@pytest.fixture
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "STATE", "LOG", "CONF", "LOCALSTATE", "DATA"):
        folder = tmp_path / "nix" / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(f"NIX_{name}_DIR", str(folder))
    monkeypatch.setenv("NIX_REMOTE", "local")


def run(*argv: str) -> str:
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=100, env=os.environ
    )
    return done.stdout.strip()


@pytest.mark.usefixtures("_own_store")
def test_a_system_comes_from_a_cache_that_is_trusted(tmp_path: Path) -> None:
    """And from no other, nor before CI has pushed it; that is tried again."""
    desired = built(tmp_path, "")
    cache = f"file://{tmp_path}/cache?compression=none"
    secret, public = tmp_path / "secret", tmp_path / "public"
    run("nix-store", "--generate-binary-cache-key", "ci-1", str(secret), str(public))
    commands = ("--extra-experimental-features", "nix-command")
    to = f"{cache}&secret-key={secret}"
    run("nix", *commands, "copy", "--no-check-sigs", "--to", to, desired.toplevel)
    (tmp_path / "ci-root").unlink()
    run("nix-collect-garbage")
    assert not Path(desired.toplevel).exists(), "or this test proves nothing"
    checkout = paths(tmp_path / "checkout", {"web": desired.toplevel})
    options = {**OFFLINE, "substitute": "true", "substituters": cache}

    for key in ("", "ci-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="):
        with pytest.raises(FetchError, match="a cache that Nix asks and trusts") as e:
            reads({**options, "trusted-public-keys": key}).evaluate(checkout, WEB)
        assert not isinstance(e.value, PermanentError)

    found = reads(
        {**options, "trusted-public-keys": public.read_text().strip()}
    ).evaluate(checkout, WEB)

    assert dict(found.units) == dict(desired.units) != {}
