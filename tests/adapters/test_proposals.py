"""A commit that nobody has merged, looked at with the machine's own git and Nix."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.app import open_world
from reconciler.cli.worlds import at_commit
from reconciler.model import Digests, HostName
from reconciler.revisions import Evaluations
from reconciler.settings import RepositorySettings, SecretsSettings, Settings
from reconciler.world import World
from tests.adapters.desired_nix import PLAIN, host, settings
from tests.adapters.test_source import git

pytestmark = pytest.mark.nix

KEANU = HostName("keanu")
SECRET = "the secret of another host"  # noqa: S105


def module(folder: Path) -> str:
    """Return a host that takes what it can get."""
    return f"""
    {{ lib, ... }}: {{
      {PLAIN}
      deployment.keys = {{
        ran.keyCommand = [ "touch" "{folder}/out/ran" ];
        file.keyFile = "{folder}/secrets/token";
        text.text = builtins.readFile ./../../secrets/token;
      }};
      systemd.services = {{
        "environment-${{
          if builtins.getEnv "STOLEN_TOKEN" == "" then "hidden" else "seen"
        }}".script = "true";
        "secrets-${{
          if builtins.pathExists ./../../secrets/token then "seen" else "hidden"
        }}".script = "true";
      }};
    }}
    """


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("STOLEN_TOKEN", "of the environment")
    folder, work = tmp_path / "secrets", tmp_path / "work"
    folder.mkdir()
    (folder / "token").write_text(SECRET)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)  # in a cage, it is somebody else's command
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    host(work, "keanu", f"{{ ... }}: {{ {PLAIN} }}")
    commit(work, "Merged")
    git(work, "switch", "-q", "-c", "proposal")
    host(work, "keanu", module(tmp_path))
    commit(work, "Proposed")
    base = settings()
    with open_world(
        Settings(
            repository=RepositorySettings(
                url=str(work), branch="main", secrets={"secrets": folder}
            ),
            nix=base.nix,
            secrets=SecretsSettings(command_paths=(tmp_path / "out",)),
            state=tmp_path / "state",
        )
    ) as world:
        yield world


def commit(work: Path, subject: str) -> None:
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", subject)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What comes of looking at a commit."""

    units: set[str]  # those that say what Nix could see
    digests: Digests
    contents: dict[str, bytes]


def look(world: World, ref: str) -> Told:
    seen_in, revision = at_commit(world, ref)
    desired = Evaluations(seen_in).desired(revision, KEANU)
    return Told(
        units={name for name in desired.units if name.startswith(("env", "sec"))},
        digests=seen_in.digests(desired, revision.checkout),
        contents=seen_in.keyring.contents(desired, revision.checkout, desired.keys),
    )


def test_a_proposal_gets_no_secrets(world: World, tmp_path: Path) -> None:
    told = look(world, "proposal")

    assert told.units == {"environment-hidden.service", "secrets-hidden.service"}
    assert (told.contents, told.digests.known) == ({}, {})
    assert told.digests.problems == dict.fromkeys(
        ("file", "ran", "text"),
        "not looked at: the commit is not on the watched branch",
    )
    assert not (tmp_path / "out/ran").exists()


def test_the_same_commit_once_merged(world: World, tmp_path: Path) -> None:
    """What was seen of it before does not count any more."""
    look(world, "proposal")
    git(tmp_path / "work", "switch", "-q", "main")
    git(tmp_path / "work", "merge", "-q", "--ff-only", "proposal")

    told = look(world, "proposal")

    assert told.units == {"environment-hidden.service", "secrets-seen.service"}
    assert set(told.contents) == {"file", "ran", "text"}
    assert told.digests.problems == {}
    assert (tmp_path / "out/ran").exists()


def test_a_commit_that_the_branch_does_not_have_any_more(
    world: World, tmp_path: Path
) -> None:
    """Its checkout was laid over with secrets while it was the newest."""
    work = tmp_path / "work"
    git(work, "branch", "-f", "main", "proposal")
    assert "secrets-seen.service" in look(world, "main").units
    git(work, "branch", "-f", "main", "proposal~1")

    told = look(world, "proposal")

    assert told.units == {"environment-hidden.service", "secrets-hidden.service"}
    assert told.contents == {}
