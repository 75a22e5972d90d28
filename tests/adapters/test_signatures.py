"""Which commits may count, by real signatures: git, ssh-keygen and gpg."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.app import open_world
from reconciler.model import Commit, CommitId
from reconciler.revisions.trust import (
    RewrittenError,
    UnsignedError,
    is_trusted,
    require_trust,
)
from reconciler.settings import RepositorySettings, Settings, VerifySettings
from tests.adapters.test_cli import run as program
from tests.support.repository import Repository, git, make_repository

OLD = "2020-06-01T00:00:00Z"


def run(*argv: str, **env: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, **env})


@dataclass
class Signer:
    """A repository, keys, and worlds that look at it."""

    folder: Path
    repository: Repository
    options: tuple[str, ...] = ()
    verify: dict[str, object] = field(default_factory=dict)

    def ssh_key(self, name: str) -> str:
        """Make an SSH key, with which commits are signed from now on."""
        file = self.folder / name
        if not file.exists():
            run(
                "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)
            )
        self.options = ("gpg.format=ssh", f"user.signingKey={file}.pub")
        return Path(f"{file}.pub").read_text().strip()

    def allow(self, *lines: str) -> None:
        """Have these lines be the allowed signers."""
        file = self.folder / "allowed"
        file.write_text("".join(f"{line}\n" for line in lines))
        self.verify["allowed_signers"] = file

    def commit(self, *, signed: bool = True, date: str = "", push: bool = True) -> str:
        """Commit, and push; return the id."""
        options = [x for option in self.options for x in ("-c", option)]
        how = "--gpg-sign" if signed else "--no-gpg-sign"
        argv = ["commit", "--quiet", "--allow-empty", how, "--message", "change"]
        env = {"GIT_COMMITTER_NAME": "Carl", "GIT_COMMITTER_EMAIL": "carl@example.org"}
        if date:
            env["GIT_COMMITTER_DATE"] = date
        work = ["git", "-C", str(self.repository.work), *options]
        who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org"}
        run(*work, *argv, GNUPGHOME=str(self.folder / "gnupg"), **env, **who)
        if push:
            self.repository.push()
        return git(self.repository.work, "rev-parse", "HEAD")

    def open(self, **repository: object) -> "Looking":
        """Open a world whose settings ask for signatures."""
        settings = Settings(
            repository=RepositorySettings.model_validate(
                {
                    "url": self.repository.url,
                    "verify": VerifySettings.model_validate(self.verify),
                    **repository,
                }
            ),
            state=self.folder / "state",
        )
        return Looking(settings)


class Looking:
    """A process that looks at the repository."""

    def __init__(self, settings: Settings) -> None:
        self._opened = open_world(settings)
        self.world = self._opened.__enter__()

    def close(self) -> None:
        """End the process."""
        self._opened.__exit__(None, None, None)

    def look(self) -> Commit:
        """Take over what counts; raise what says that it does not."""
        commit = self.world.mirror.fetch()
        require_trust(self.world, commit)
        self.world.history.save_commit(commit)
        return commit

    def refused(self) -> str:
        """Return why the newest commit does not count."""
        with pytest.raises(UnsignedError) as caught:
            self.look()
        return str(caught.value)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path, make_repository(tmp_path, bare=True))


@pytest.fixture
def looking(signer: Signer) -> Iterator[Looking]:
    """Look as a process that has taken over a commit, signed by `key`."""
    signer.allow(f"carl@example.org {signer.ssh_key('key')}")
    signer.commit()
    looking = signer.open()
    looking.look()
    yield looking
    looking.close()


# --- SSH -------------------------------------------------------------------------


def test_signed_commits_count(signer: Signer, looking: Looking) -> None:
    signer.commit()

    assert looking.look().id == git(signer.repository.work, "rev-parse", "HEAD")


def test_the_first_unsigned_commit_is_named_though_a_signed_one_follows(
    signer: Signer, looking: Looking
) -> None:
    bad = signer.commit(signed=False, push=False)
    signer.commit(signed=False, push=False)
    newest = signer.commit()

    told = looking.refused()

    assert f"commit {bad} in commit {newest[:8]} is not signed" in told
    assert "cannot be approved" in told


def test_an_unsigned_commit_that_came_by_a_merge_is_found(
    signer: Signer, looking: Looking
) -> None:
    work = signer.repository.work
    git(work, "switch", "--quiet", "--create", "side")
    bad = signer.commit(signed=False, push=False)
    git(work, "switch", "--quiet", "main")
    signer.commit(push=False)
    git(work, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    signer.commit()

    assert bad in looking.refused()


def test_what_was_taken_over_is_not_verified_anew(
    signer: Signer, looking: Looking
) -> None:
    """A key that expires takes no host back, nor leaves it alone after a restart."""
    signer.allow(f"somebody@example.org {signer.ssh_key('other')}")

    assert looking.look()
    signer.commit()
    assert looking.look()


def test_the_key_of_a_stranger_does_not_count(signer: Signer, looking: Looking) -> None:
    signer.ssh_key("stranger")
    signer.commit()

    assert "No principal matched" in looking.refused()


def test_another_signer_is_trusted_without_a_restart(
    signer: Signer, looking: Looking
) -> None:
    both = signer.ssh_key("key"), signer.ssh_key("other")
    signer.commit()
    looking.refused()

    signer.allow(*(f"carl@example.org {key}" for key in both))

    assert looking.look()


def test_an_altered_commit_does_not_count(signer: Signer, looking: Looking) -> None:
    signed = signer.commit(push=False)
    work = signer.repository.work
    raw = subprocess.check_output(["git", "-C", work, "cat-file", "commit", signed])
    forged = subprocess.run(
        ["git", "-C", work, "hash-object", "-t", "commit", "-w", "--stdin"],
        input=raw.replace(b"\nchange\n", b"\nforged\n"),
        check=True,
        capture_output=True,
        text=False,
    )
    git(work, "reset", "--quiet", "--hard", forged.stdout.decode().strip())
    signer.repository.push()

    assert forged.stdout.decode().strip()[:8] in looking.world.mirror.fetch().id
    looking.refused()


# --- tags ------------------------------------------------------------------------


def tag(signer: Signer, name: str, *options: str) -> None:
    """Tag the head of the repository, and push that."""
    work = ["git", "-C", str(signer.repository.work)]
    chosen = [x for option in signer.options for x in ("-c", option)]
    env = {"GIT_COMMITTER_NAME": "Carl", "GIT_COMMITTER_EMAIL": "carl@example.org"}
    run(*work, *chosen, "tag", *options, name, **env)
    signer.repository.push()


@pytest.fixture
def tagged(signer: Signer) -> Iterator[Looking]:
    """Look as a process that has taken over v1, which a signed tag vouches for."""
    signer.allow(f"carl@example.org {signer.ssh_key('key')}")
    signer.commit(signed=False)
    tag(signer, "v1", "--sign", "--message", "One")
    looking = signer.open(tag="v*")
    looking.look()
    yield looking
    looking.close()


def test_a_signed_tag_vouches_for_commits_that_are_not(
    signer: Signer, tagged: Looking
) -> None:
    signer.commit(signed=False)
    newest = signer.commit(signed=False)
    tag(signer, "v2", "--sign", "--message", "Two")

    assert tagged.look().id == newest


@pytest.mark.parametrize(
    "options", [(), ("--annotate", "--message", "Two")], ids=["plain", "annotated"]
)
def test_a_tag_that_is_not_signed_vouches_for_nothing(
    signer: Signer, tagged: Looking, options: tuple[str, ...]
) -> None:
    bad = signer.commit(signed=False)
    tag(signer, "v2", *options)

    assert f"commit {bad[:8]} is not signed" in tagged.refused()


def test_a_tag_signed_by_a_key_that_nobody_trusts_vouches_for_nothing(
    signer: Signer, tagged: Looking
) -> None:
    signer.commit(signed=False)
    signer.ssh_key("other")
    tag(signer, "v2", "--sign", "--message", "Two")

    told = tagged.refused()

    assert "is not signed" in told
    assert "nor is tag v2" in told


def test_an_old_tag_under_a_new_name_vouches_for_nothing(
    signer: Signer, tagged: Looking
) -> None:
    """Whoever may push has what was signed as a draft be called v9."""
    work = signer.repository.work
    signer.commit(signed=False)
    tag(signer, "draft", "--sign", "--message", "Not yet")
    git(work, "update-ref", "refs/tags/v9", git(work, "rev-parse", "refs/tags/draft"))
    signer.repository.push()

    assert "tag v9 was signed under another name" in tagged.refused()


@pytest.mark.parametrize("revoked", ["", "list of keys"])
def test_a_revoked_key_does_not_count(signer: Signer, revoked: str) -> None:
    key = signer.ssh_key("key")
    signer.allow(f"carl@example.org {key}")
    signer.verify["revoked"] = signer.folder / "revoked"
    if revoked:
        (signer.folder / "revoked").write_text(f"{key}\n")
    signer.commit()
    looking = signer.open()

    told = looking.refused()

    # A file that is not there must not mean that no key is revoked, as it does to git.
    assert "Could not verify" in told if revoked else "revoked cannot be read" in told
    looking.close()


EXPIRED = 'valid-before="20210101Z"'
NOT_YET = 'valid-after="20210101Z"'


@pytest.mark.parametrize(
    ("option", "date"),
    [(EXPIRED, ""), (EXPIRED, OLD), (NOT_YET, OLD), ('valid-after="20990101Z"', "")],
    ids=["expired", "expired-dated-back", "not-yet-then", "not-yet-now"],
)
def test_a_key_must_be_valid_at_the_commit_and_now(
    signer: Signer, option: str, date: str
) -> None:
    """Whoever has an old key may choose the date of a commit."""
    signer.allow(f"carl@example.org {option} {signer.ssh_key('key')}")
    signer.commit(date=date)
    looking = signer.open()

    looking.refused()

    looking.close()


def test_a_key_that_is_valid_at_both_counts(signer: Signer) -> None:
    signer.allow(f"carl@example.org {NOT_YET} {signer.ssh_key('key')}")
    signer.commit()
    looking = signer.open()

    assert looking.look()

    looking.close()


def test_keys_of_the_user_of_this_program_count_for_nothing(
    signer: Signer, looking: Looking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = signer.ssh_key("stranger")
    (tmp_path / "mine").write_text(f"carl@example.org {key}\n")
    config = tmp_path / "config"
    config.write_text(f"[gpg.ssh]\nallowedSignersFile = {tmp_path}/mine\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(config))
    signer.commit()

    looking.refused()


# --- what is compared ------------------------------------------------------------


def test_at_the_very_first_look_the_head_alone_must_be_signed(signer: Signer) -> None:
    signer.allow(f"carl@example.org {signer.ssh_key('key')}")
    signer.commit(signed=False)
    signer.commit()
    looking = signer.open()

    assert looking.look()

    looking.close()


def test_at_the_very_first_look_all_since_a_commit_must_be_signed(
    signer: Signer,
) -> None:
    first = git(signer.repository.work, "rev-parse", "HEAD")
    signer.allow(f"carl@example.org {signer.ssh_key('key')}")
    bad = signer.commit(signed=False)
    signer.commit()
    signer.verify["since"] = first
    looking = signer.open()
    assert bad in looking.refused()
    looking.close()

    signer.verify["since"] = bad
    looking = signer.open()
    assert looking.look()
    looking.close()


def test_a_rewritten_branch_waits_though_it_is_signed(
    signer: Signer, looking: Looking
) -> None:
    """Else an older commit with a known hole could be pushed again."""
    newest = signer.commit()
    looking.look()
    git(signer.repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    signer.repository.push()

    with pytest.raises(RewrittenError, match=rf"{newest[:8]}.*allow_force: true"):
        looking.look()

    looking.close()
    looking = signer.open(allow_force=True)
    assert looking.look().id != newest
    looking.close()


def test_without_signatures_a_rewritten_branch_is_followed_unless_told_otherwise(
    signer: Signer,
) -> None:
    signer.commit(signed=False)
    looking = signer.open()
    looking.look()
    git(signer.repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    signer.repository.push()
    looking.look()
    signer.commit(signed=False)
    looking.look()
    looking.close()
    git(signer.repository.work, "reset", "--quiet", "--hard", "HEAD~1")
    signer.repository.push()

    looking = signer.open(allow_force=False)
    with pytest.raises(RewrittenError):
        looking.look()
    looking.close()


def test_another_repository_needs_a_commit_to_begin_from(
    signer: Signer, looking: Looking, tmp_path: Path
) -> None:
    looking.close()
    signer.repository = make_repository(tmp_path / "new", bare=True)
    first = signer.repository.commit("another history", f="other\n")
    newest = signer.commit()
    looking = signer.open()
    assert f"in commit {newest[:8]} is not signed" in looking.refused()
    looking.close()
    shutil.rmtree(tmp_path / "state/mirror.git")
    looking = signer.open()
    assert "repository.verify.since" in looking.refused()
    looking.close()

    signer.verify["since"] = first
    looking = signer.open(allow_force=True)
    assert looking.look()
    looking.close()


def test_what_does_not_count_sees_no_secrets(signer: Signer, looking: Looking) -> None:
    good = looking.look()
    signer.commit(signed=False)
    bad = looking.world.mirror.fetch()

    assert looking.world.mirror.is_merged(bad)
    assert is_trusted(looking.world, good)
    assert not is_trusted(looking.world, bad)


# --- OpenPGP ---------------------------------------------------------------------


@pytest.fixture
def gpg(signer: Signer) -> Iterator["Gpg"]:
    gpg = Gpg(signer)
    yield gpg
    home = str(signer.folder / "gnupg")
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


class Gpg:
    """Makes OpenPGP keys."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.home = signer.folder / "gnupg"
        self.home.mkdir(mode=0o700)

    def run(self, *argv: str) -> None:
        """Run gpg, which asks nobody."""
        batch = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
        run("gpg", "--homedir", str(self.home), *batch, *argv)

    def key(self, name: str, *options: str, expires: str = "never") -> None:
        """Make a key, with which commits are signed from now on."""
        how = (name, "ed25519", "sign", expires)
        self.run(*options, "--quick-generate-key", *how)
        self.signer.options = (f"user.signingKey={name}",)

    def export(self, *names: str) -> None:
        """Have these keys be those that may sign."""
        file = self.signer.folder / "keys.asc"
        file.unlink(missing_ok=True)
        self.run("--armor", "--output", str(file), "--export", *names)
        self.signer.verify["openpgp"] = file


def test_openpgp_keys_that_are_given_count_and_no_others(
    signer: Signer, gpg: Gpg
) -> None:
    gpg.key("stranger@example.org")
    gpg.key("carl@example.org")
    gpg.export("carl@example.org")
    signer.commit()
    looking = signer.open()
    assert looking.look()
    signer.options = ("user.signingKey=stranger@example.org",)
    signer.commit()

    assert "No public key" in looking.refused()

    signer.options = ()
    signer.commit(signed=False)
    assert "not signed" in looking.refused()
    looking.close()


def test_an_openpgp_key_that_has_expired_does_not_count(
    signer: Signer, gpg: Gpg
) -> None:
    then = "20200601T000000!"
    gpg.key("carl@example.org", "--faked-system-time", then, expires="1y")
    gpg.export("carl@example.org")
    program = signer.folder / "gpg-then"
    program.write_text(f'#!/bin/sh\nexec gpg --faked-system-time {then} "$@"\n')
    program.chmod(0o700)
    signer.options = (*signer.options, f"gpg.program={program}")
    signer.commit(date=OLD)
    looking = signer.open()

    assert "This key has expired" in looking.refused()

    looking.close()


def test_a_revoked_openpgp_key_does_not_count(signer: Signer, gpg: Gpg) -> None:
    gpg.key("carl@example.org")
    signer.commit()
    (certificate,) = (gpg.home / "openpgp-revocs.d").iterdir()
    text = certificate.read_text().replace(":-----BEGIN", "-----BEGIN")
    certificate.write_text(text)
    gpg.run("--import", str(certificate))
    gpg.export("carl@example.org")
    looking = signer.open()

    assert "been revoked by its owner" in looking.refused()

    looking.close()


def test_ssh_keys_do_not_vouch_where_openpgp_is_asked_for(
    signer: Signer, gpg: Gpg
) -> None:
    gpg.key("carl@example.org")
    gpg.export("carl@example.org")
    signer.ssh_key("key")
    signer.commit()
    looking = signer.open()

    looking.refused()

    looking.close()


# --- what cannot be verified -----------------------------------------------------


def test_a_program_that_is_missing_is_named_and_nothing_counts(
    signer: Signer,
    looking: Looking,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer.commit()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to("/usr/bin/git")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert "ssh-keygen was not found on PATH" in looking.refused()


@pytest.mark.parametrize("name", ["allowed_signers", "openpgp"])
def test_a_file_of_keys_that_cannot_be_used_is_named(
    signer: Signer, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "keys"
    signer.verify[name] = file
    looking = signer.open()
    assert f"{file} cannot be read" in looking.refused()
    file.write_text("rubbish\n")

    assert looking.refused()

    looking.close()


def test_a_commit_that_is_not_there_is_not_well_signed(looking: Looking) -> None:
    absent = CommitId("0" * 40)

    assert looking.world.mirror.first_unsigned(absent, [])


# --- what a person sees ----------------------------------------------------------


def test_check_and_approve_say_what_is_wrong(signer: Signer, looking: Looking) -> None:
    looking.close()
    bad = signer.commit(signed=False)
    file = signer.folder / "reconciler.yaml"
    allowed = signer.verify["allowed_signers"]
    file.write_text(
        f"repository: {{url: {signer.repository.url}, verify: {{"
        f"allowed_signers: {allowed}}}}}\nstate: {signer.folder}/state\n"
    )

    checked = program("-c", str(file), "check")
    approved = program("-c", str(file), "approve", bad)
    (signer.folder / "allowed").unlink()
    without = program("-c", str(file), "check")

    assert (checked.returncode, approved.returncode) == (1, 1)
    assert "✓ signatures of commits" in checked.stdout
    told = f"commit {bad[:8]} is not signed as repository.verify asks: it has no sig"
    assert told in checked.stdout
    assert told in " ".join(approved.stderr.split())
    assert "It cannot be approved" in approved.stderr
    assert f"✗ signatures of commits  {allowed} cannot be read" in without.stdout
