"""The mirror and its checkouts, against real git repositories."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from reconciler.errors import SourceError, StateError, UnknownCommitError
from reconciler.model import Commit, CommitId
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror, command, filters
from reconciler.source.network import Remote
from reconciler.source.submodules import Submodule
from tests.support.repository import (
    Repository,
    add_submodule,
    checked_out,
    contents,
    git,
    make_repository,
    mirror_of,
)

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "nothing happened in time"
        threading.Event().wait(0.002)


@pytest.fixture(params=["bare", "normal", "file-url"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    made = make_repository(tmp_path, bare=request.param != "normal")
    if request.param != "file-url":
        return made
    return Repository(url=made.path.as_uri(), path=made.path, work=made.work)


@pytest.fixture
def normal(tmp_path: Path) -> Repository:
    return make_repository(tmp_path)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# --- fetch -----------------------------------------------------------------------


def test_the_head_of_the_branch_comes_with_all_we_know_of_it(
    repository: Repository, state: Path
) -> None:
    head = repository.commit("Füge f hinzu\n\nmore text", f="2\n")

    commit = mirror_of(repository, state).fetch()

    assert commit == Commit(
        id=CommitId(head),
        tree=git(repository.work, "rev-parse", "HEAD^{tree}"),
        branch="main",
        subject="Füge f hinzu",
        author="Ann Author",
        committed_at=float(git(repository.work, "log", "-1", "--format=%ct")),
    )


def test_each_push_is_followed(repository: Repository, state: Path) -> None:
    mirror = mirror_of(repository, state)
    before = mirror.fetch()

    head = repository.commit(f="2\n")

    assert mirror.fetch().id == head != before.id
    assert mirror.fetch().id == head


def test_another_branch_with_slashes(normal: Repository, state: Path) -> None:
    git(normal.work, "switch", "--quiet", "--create", "team/x/prod")
    head = normal.commit(f="2\n")

    commit = mirror_of(normal, state, "team/x/prod").fetch()

    assert (commit.id, commit.branch) == (head, "team/x/prod")


def test_a_rewritten_branch_is_followed_and_told(
    repository: Repository, state: Path
) -> None:
    mirror = mirror_of(repository, state)
    before = mirror.fetch()
    git(repository.work, "commit", "--quiet", "--amend", "--message", "rewritten")
    repository.push()

    with capture_logs() as logs:
        after = mirror.fetch()

    assert after.subject == "rewritten"
    (event,) = told(logs)
    assert event["event"] == "branch was rewritten"
    assert (event["before"], event["after"]) == (before.id, after.id)
    assert mirror.resolve(before.id) == before


def test_a_push_that_only_adds_is_not_told(normal: Repository, state: Path) -> None:
    mirror = mirror_of(normal, state)
    mirror.fetch()
    normal.commit(f="2\n")

    with capture_logs() as logs:
        mirror.fetch()

    assert told(logs) == []


def told(logs: list[EventDict]) -> list[EventDict]:
    """Return what is logged without --verbose, too."""
    return [event for event in logs if event["log_level"] != "debug"]


def test_a_deleted_branch_names_those_there_are(
    repository: Repository, state: Path
) -> None:
    mirror = mirror_of(repository, state)
    known = mirror.fetch()
    git(repository.work, "branch", "next")
    repository.push()
    repository.delete_branch("main")

    with pytest.raises(SourceError, match="no branch 'main'; there are: next"):
        mirror.fetch()

    assert mirror.resolve("main") == known
    assert contents(mirror.checkout(known)) == {"f": "1\n"}


@pytest.fixture
def with_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a URL with a login that git takes for the folder of this test."""
    url = "ssh://hunter2@example.org/"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", url)
    return url


def test_a_missing_branch_is_told_without_the_login(
    tmp_path: Path, state: Path, with_login: str
) -> None:
    path = make_repository(tmp_path / "one").path.relative_to(tmp_path)
    settings = RepositorySettings(url=f"{with_login}{path}", branch="prod")

    with pytest.raises(SourceError, match="has no branch 'prod'") as refused:
        Mirror(settings, state=state).fetch()

    assert "hunter2" not in str(refused.value)


def test_a_missing_commit_of_a_submodule_is_told_without_the_login(
    tmp_path: Path, state: Path, with_login: str
) -> None:
    path = make_repository(tmp_path / "inner").path.relative_to(tmp_path)
    there = Submodule(path="sub", remote=Remote(f"{with_login}{path}"), commit="1" * 40)

    with pytest.raises(SourceError, match="has no commit 1111") as refused:
        there.bring(state)

    assert "hunter2" not in str(refused.value)


def test_an_empty_repository_says_so(tmp_path: Path, state: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    settings = RepositorySettings(url=str(tmp_path / "empty.git"))

    with pytest.raises(SourceError, match="is empty: it has no branch at all"):
        Mirror(settings, state=state).fetch()


def test_a_repository_that_is_away_comes_back(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    mirror = mirror_of(repository, state)
    known = mirror.fetch()
    repository.path.rename(tmp_path / "away")

    with pytest.raises(SourceError, match="there is nothing at this path"):
        mirror.fetch()
    assert mirror.resolve("main") == known

    (tmp_path / "away").rename(repository.path)
    assert mirror.fetch() == known


def test_a_folder_that_is_no_repository(tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()

    with pytest.raises(SourceError, match=r"plain cannot be read: .*not appear to be"):
        Mirror(RepositorySettings(url=str(folder)), state=state).fetch()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://127.0.0.1:1/x.git", "Failed to connect|Could not connect"),
        ("ssh://127.0.0.1:1/x.git", "Connection refused"),
    ],
)
def test_a_server_that_is_away(state: Path, url: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        Mirror(RepositorySettings(url=url), state=state).fetch()


def test_a_login_in_the_url_is_not_told(state: Path) -> None:
    url = "https://t0ken@127.0.0.1:1/x.git"  # as .gitmodules may have it
    there = Submodule(path="sub", remote=Remote(url), commit="1" * 40)

    with pytest.raises(SourceError, match="onnect") as caught:
        there.bring(state)

    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    "damage", ["config", "objects", "HEAD", "refs", "empty", "file"]
)
def test_a_damaged_mirror_is_made_anew(
    normal: Repository, state: Path, damage: str
) -> None:
    mirror = mirror_of(normal, state)
    known = mirror.fetch()
    path = state / "mirror.git"
    match damage:
        case "config":
            (path / "config").write_text("[core\n")
        case "HEAD":
            (path / "HEAD").write_bytes(b"\0\0\0")
        case "empty":
            for file in (path / "objects").rglob("*"):
                if file.is_file():
                    file.chmod(0o644)
                    file.write_bytes(b"")
        case "file":
            shutil.rmtree(path)
            path.write_text("")
        case _:
            shutil.rmtree(path / damage)

    assert mirror.fetch() == known
    assert contents(mirror.checkout(known)) == {"f": "1\n"}


def test_a_mirror_that_lost_one_file_is_made_anew(
    normal: Repository, state: Path
) -> None:
    """The commit can be read, so only the checkout finds out."""
    mirror = mirror_of(normal, state)
    commit = mirror.fetch()
    blob = git(normal.work, "rev-parse", "HEAD:f")
    (state / "mirror.git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(SourceError, match=f"{commit.short} cannot be checked out"):
        mirror.checkout(commit)

    assert contents(mirror.checkout(mirror.fetch())) == {"f": "1\n"}


def test_another_repository_under_the_same_state(tmp_path: Path, state: Path) -> None:
    one, two = (make_repository(tmp_path / name) for name in ("one", "two"))
    two.commit("other", f="2\n")
    mirror_of(one, state).fetch()

    assert mirror_of(two, state).fetch().subject == "other"


def test_sha256_object_names(tmp_path: Path, state: Path) -> None:
    """The state may hold a mirror of a repository with the usual names."""
    mirror_of(make_repository(tmp_path / "sha1"), state).fetch()
    repository = make_repository(tmp_path / "new", "--object-format=sha256")
    mirror = mirror_of(repository, state)

    commit = mirror.fetch()

    assert len(commit.id) == 64
    assert contents(mirror.checkout(commit)) == {"f": "1\n"}
    assert mirror.resolve(commit.short) == commit


# --- repositories that do not have everything ------------------------------------


@pytest.fixture
def shallow(normal: Repository) -> Path:
    """Return the path of a clone without history, as build services have them."""
    normal.commit(f="2\n")
    path = normal.path.with_name("shallow")
    git(normal.path, "clone", "--quiet", "--depth=1", normal.path.as_uri(), str(path))
    return path


def deepen(shallow: Path, *options: str) -> str:
    """Bring *shallow* to the newest commit, as a build service does."""
    git(shallow, "fetch", "--quiet", *options, "origin", "main")
    git(shallow, "reset", "--quiet", "--hard", "FETCH_HEAD")
    return git(shallow, "rev-parse", "HEAD")


@pytest.mark.parametrize("before", ["nothing", "whole"])
def test_a_repository_without_history_is_followed(
    normal: Repository, shallow: Path, state: Path, before: str
) -> None:
    """Git only warns where it refuses such a branch, and ends well."""
    if before == "whole":
        mirror_of(normal, state).fetch()
    mirror = Mirror(RepositorySettings(url=str(shallow)), state=state)
    for number in (3, 4):
        normal.commit(f=f"{number}\n")
        head = deepen(shallow, "--depth=1")

        with capture_logs() as logs:
            commit = mirror.fetch()

        assert commit.id == head
        assert contents(mirror.checkout(commit)) == {"f": f"{number}\n"}
        assert told(logs) == []
    normal.commit(f="5\n")
    whole = deepen(shallow, "--unshallow")
    assert mirror.fetch().id == whole


def test_a_fetch_that_brings_nothing_new_has_failed(
    normal: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How git ends is not what it did."""
    mirror = mirror_of(normal, state)
    mirror.fetch()
    normal.commit(f="2\n")
    monkeypatch.setattr(Remote, "fetch", lambda *_: None)

    with pytest.raises(SourceError, match=r"a fetch does not bring that: .* stays"):
        mirror.fetch()


def test_a_partial_clone_is_named(normal: Repository, state: Path) -> None:
    git(normal.path, "config", "uploadpack.allowFilter", "true")
    path, url = normal.path.with_name("partial"), normal.path.as_uri()
    git(normal.path, "clone", "--quiet", "--bare", "--filter=blob:none", url, str(path))

    with pytest.raises(SourceError, match=r"is a partial clone .* without --filter"):
        Mirror(RepositorySettings(url=str(path)), state=state).fetch()


# --- more than one at once -------------------------------------------------------


def test_only_the_watched_branch_is_fetched(normal: Repository, state: Path) -> None:
    git(normal.work, "tag", "v1")
    git(normal.work, "branch", "other")

    mirror_of(normal, state).fetch()

    refs = git(state / "mirror.git", "for-each-ref", "--format=%(refname)")
    assert refs == "refs/heads/main"


def test_pushes_during_fetches_are_all_found(normal: Repository, state: Path) -> None:
    mirror = mirror_of(normal, state)
    seen = []
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(lambda: [normal.commit(f=f"{n}") for n in range(20)])
        while not pushing.done():
            seen.append(mirror.fetch().id)
        pushed = pushing.result()

    assert mirror.fetch().id == pushed[-1]
    order = [pushed.index(name) for name in seen if name in pushed]
    assert order == sorted(order)


def test_threads_may_fetch_at_once(normal: Repository, state: Path) -> None:
    mirrors = [mirror_of(normal, state) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        commits = set(pool.map(Mirror.fetch, mirrors))

    assert len(commits) == 1


def test_git_s_environment_of_a_hook_does_not_matter(
    normal: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post-receive hook that calls us has GIT_DIR set to its own repository."""
    monkeypatch.chdir(normal.path)
    monkeypatch.setenv("GIT_DIR", ".git")
    mirror = mirror_of(normal, state)

    assert contents(mirror.checkout(mirror.fetch())) == {"f": "1\n"}


@as_root
def test_a_repository_of_another_user_is_read(
    repository: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person pushes as one user, the reconciler runs as another."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for file in [repository.path, *repository.path.rglob("*")]:
        os.chown(file, 65534, 65534)
    refused = subprocess.run(
        ["git", "ls-remote", repository.url], check=False, capture_output=True
    )
    assert b"dubious ownership" in refused.stderr

    assert mirror_of(repository, state).fetch().subject == "first"


# --- resolve ---------------------------------------------------------------------


def test_every_way_to_name_a_commit(repository: Repository, state: Path) -> None:
    first = git(repository.work, "rev-parse", "HEAD")
    git(repository.work, "tag", "--annotate", "v1", "--message", "x")
    git(repository.work, "branch", "other")
    head = repository.commit(f="2\n")
    mirror = mirror_of(repository, state)
    mirror.fetch()

    for ref in ("main", head, head[:7], "HEAD"):
        assert mirror.resolve(ref).id == head, ref
    for ref in ("main~1", "v1", "other", first, first[:10]):
        assert mirror.resolve(ref).id == first, ref
    assert mirror.resolve("other").branch == "other"


def test_a_branch_is_asked_for_anew_and_remembered(
    normal: Repository, state: Path, tmp_path: Path
) -> None:
    git(normal.work, "branch", "other")
    mirror = mirror_of(normal, state)
    mirror.fetch()
    mirror.resolve("other")
    git(normal.work, "switch", "--quiet", "other")
    moved = normal.commit(f="3\n")

    assert mirror.resolve("other").id == moved
    normal.path.rename(tmp_path / "away")
    assert mirror.resolve("other").id == moved


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_what_was_deleted_over_there_names_nothing_any_more(
    normal: Repository, state: Path, kind: str
) -> None:
    git(normal.work, kind, "gone")
    mirror = mirror_of(normal, state)
    mirror.fetch()
    mirror.resolve("gone")
    git(normal.work, kind, "--delete", "gone")

    with pytest.raises(UnknownCommitError, match="no branch, tag or commit 'gone'"):
        mirror.resolve("gone")
    assert mirror.resolve("main").subject == "first"


def test_a_tag_is_no_branch_to_follow(normal: Repository, state: Path) -> None:
    git(normal.work, "tag", "v1")

    with pytest.raises(SourceError, match=r"no branch 'v1', but a tag, .*there are: m"):
        mirror_of(normal, state, branch="v1").fetch()


def test_a_commit_that_no_fetched_branch_holds(normal: Repository, state: Path) -> None:
    mirror = mirror_of(normal, state)
    mirror.fetch()
    git(normal.work, "switch", "--quiet", "--create", "other")
    hidden = normal.commit(f="3\n")

    assert mirror.resolve(hidden).id == hidden


@pytest.mark.parametrize(
    "ref", ["nope", "--all", "-x", "", "main:f", "main^{tree}", "0" * 40, "a b", "*"]
)
def test_what_names_no_commit_is_told(
    normal: Repository, state: Path, ref: str
) -> None:
    mirror = mirror_of(normal, state)
    mirror.fetch()

    with pytest.raises(SourceError) as caught:
        mirror.resolve(ref)

    assert repr(ref) in str(caught.value)


def test_nothing_is_known_before_the_first_fetch(
    normal: Repository, state: Path
) -> None:
    with pytest.raises(SourceError, match="no branch, tag or commit 'main'"):
        mirror_of(normal, state).resolve("main")


# --- checkout --------------------------------------------------------------------


def test_a_checkout_is_the_commit_and_nothing_of_git(
    repository: Repository, state: Path
) -> None:
    (repository.work / "sub").mkdir()
    (repository.work / "sub/run").write_text("#!/bin/sh\n")
    (repository.work / "sub/run").chmod(0o755)
    (repository.work / "odd\nname").write_text("odd")
    (repository.work / "-x").write_text("dash")
    (repository.work / "outside").symlink_to("/etc/passwd")
    (repository.work / "gone").symlink_to("nowhere")
    head = repository.commit_all()

    folder = checked_out(repository, state)

    assert (folder.name, folder.parent.parent) == ("source", state / "checkouts")
    assert commit_of(folder) == head
    names = {file.name for file in folder.iterdir()}
    assert names == {"f", "sub", "odd\nname", "-x", "outside", "gone"}
    assert os.access(folder / "sub/run", os.X_OK)
    assert not os.access(folder / "f", os.X_OK)
    assert (folder / "outside").readlink() == Path("/etc/passwd")
    assert (folder / "gone").readlink() == Path("nowhere")


def test_attributes_of_archives_do_not_count_and_line_ends_do(
    normal: Repository, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person configured on this machine must not change a checkout."""
    config = tmp_path / "gitconfig"
    config.write_text(
        "[core]\nautocrlf = true\n"
        f'[filter "x"]\nsmudge = touch {tmp_path}/ran\nrequired = true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    attributes = (
        "hidden export-ignore\nstamp export-subst\ncrlf text eol=crlf\nf filter=x\n"
    )
    normal.commit(
        **{".gitattributes": attributes},
        hidden="there\n",
        stamp="$Format:%H$\n",
        crlf="line\n",
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    folder = checked_out(normal, state)

    assert (folder / "hidden").read_bytes() == b"there\n"
    assert (folder / "stamp").read_bytes() == b"$Format:%H$\n"
    assert (folder / "crlf").read_bytes() == b"line\r\n"
    assert (folder / "f").read_bytes() == b"1\n"
    assert not (tmp_path / "ran").exists()


def test_no_hook_and_no_template_runs(
    normal: Repository, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "template/hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[init]\ntemplateDir = {tmp_path}/template\n[core]\nhooksPath = {hooks}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))

    checked_out(normal, state)

    assert not (tmp_path / "ran").exists()
    assert not (state / "mirror.git/hooks").exists()


def test_the_same_checkout_is_made_once(normal: Repository, state: Path) -> None:
    folder = checked_out(normal, state)
    before = (folder / "f").stat()

    assert checked_out(normal, state) == folder
    assert (folder / "f").stat() == before


def test_commits_stand_side_by_side(normal: Repository, state: Path) -> None:
    one = checked_out(normal, state)
    normal.commit(f="2\n")
    two = checked_out(normal, state)

    assert (contents(one), contents(two)) == ({"f": "1\n"}, {"f": "2\n"})
    assert one.name == two.name == "source"


@pytest.mark.nix
def test_equal_content_gives_one_derivation(normal: Repository, state: Path) -> None:
    """Nix names ``./.`` after the folder; another name would redeploy everything."""
    normal.commit(
        **{"default.nix": 'derivation { name = "n"; system = "s"; builder = ./.; }'}
    )
    one = checked_out(normal, state)
    git(normal.work, "commit", "--quiet", "--allow-empty", "--message", "nothing")
    two = checked_out(normal, state)

    argv = ["nix-instantiate", "--eval", "--expr"]
    paths = [
        subprocess.run(
            [*argv, f"(import {folder}).drvPath"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for folder in (one, two)
    ]

    assert one != two
    assert paths[0] == paths[1]
    assert "/nix/store/" in paths[0]


def test_an_unknown_commit_is_an_error_and_leaves_nothing(
    normal: Repository, state: Path
) -> None:
    mirror = mirror_of(normal, state)
    known = mirror.fetch()
    unknown = Commit(
        id=CommitId("1" * 40),
        tree=known.tree,
        branch="main",
        subject="",
        author="",
        committed_at=0,
    )

    with pytest.raises(SourceError, match="11111111 cannot be checked out"):
        mirror.checkout(unknown)

    assert list((state / "checkouts").iterdir()) == []


def test_threads_that_want_the_same_checkout_get_it(
    normal: Repository, state: Path
) -> None:
    commit = mirror_of(normal, state).fetch()
    mirrors = [mirror_of(normal, state) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda mirror: mirror.checkout(commit), mirrors))

    assert len(set(folders)) == 1
    assert contents(folders[0]) == {"f": "1\n"}


PROGRAM = """
import logging
import sys
from pathlib import Path
import structlog
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror

quiet = structlog.make_filtering_bound_logger(logging.INFO)
structlog.configure(wrapper_class=quiet)
mirror = Mirror(RepositorySettings(url=sys.argv[1]), state=Path(sys.argv[2]))
commit = mirror.fetch()
print("ready", flush=True)
sys.stdin.readline()
print(mirror.checkout(commit), flush=True)
"""


@contextlib.contextmanager
def program(repository: Repository, state: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that has fetched and waits for a line to check out."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, repository.url, str(state)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def places(state: Path) -> list[str]:
    """Return the commits of the checkouts, without the spare one."""
    found = (place / "source" for place in (state / "checkouts").iterdir())
    return [commit_of(one) for one in found if one.parent.name != ".spare"]


def commit_of(folder: Path) -> CommitId:
    """Return which commit the checkout *folder* is, as its place says."""
    return CommitId(folder.parent.name.partition("-")[0])


def fill(repository: Repository, files: int) -> None:
    (repository.work / "many").mkdir()
    for number in range(files):
        (repository.work / f"many/{number}").write_text(str(number) * 100)
    repository.commit_all("many files")


def test_two_processes_check_out_at_once(normal: Repository, state: Path) -> None:
    fill(normal, 500)
    with program(normal, state) as one, program(normal, state) as two:
        for process in (one, two):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in (one, two)]

    assert outputs[0] == outputs[1]
    assert len(contents(Path(outputs[0].strip()))) == 501


def test_a_checkout_that_was_killed_is_made_anew(
    normal: Repository, state: Path
) -> None:
    fill(normal, 3000)
    checkouts = state / "checkouts"
    with program(normal, state) as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_for(lambda: any(checkouts.glob(".making-*/source/many/*")))
        process.send_signal(signal.SIGKILL)
        process.wait()
    half = list(checkouts.iterdir())
    assert half
    assert all(place.name.startswith(".") for place in half)

    folder = checked_out(normal, state)

    assert len(contents(folder)) == 3001

    def only_the_new_one_is_left() -> bool:
        # The git that it had started may write on for a moment.
        mirror_of(normal, state).prune({commit_of(folder)})
        return places(state) == [commit_of(folder)]

    wait_for(only_the_new_one_is_left)


def test_a_checkout_from_before_a_restart_of_the_machine_is_made_anew(
    normal: Repository, state: Path
) -> None:
    """After a power cut, files written just before may be there and be empty."""
    folder = checked_out(normal, state)
    (folder / "f").write_text("")
    (folder.parent / "complete").write_text("another boot")

    assert contents(checked_out(normal, state)) == {"f": "1\n"}


def test_who_finds_other_tools_leaves_the_checkouts_of_others_alone(
    normal: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon whose unit has no git-lfs on its PATH, beside a person who has."""
    monkeypatch.setattr(filters, "has_lfs", lambda: False)
    folder = checked_out(normal, state)
    monkeypatch.setattr(filters, "has_lfs", lambda: True)

    other = checked_out(normal, state)

    assert other != folder
    assert contents(other) == contents(folder) == {"f": "1\n"}
    assert places(state) == [commit_of(folder)] * 2


def test_prune_removes_what_nobody_needs(normal: Repository, state: Path) -> None:
    mirror = mirror_of(normal, state)
    old, kept = checked_out(normal, state), normal.commit(f="2\n")
    mirror.checkout(mirror.fetch())
    (state / "checkouts/.making-x").mkdir()

    mirror.prune({CommitId(kept)})

    assert not old.exists()
    assert places(state) == [kept]


def test_a_lock_that_is_never_given_back_is_named(
    normal: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOCK_DEADLINE", 0.2)
    mirror = mirror_of(normal, state)

    with (
        command.locked(state / "mirror.lock"),
        pytest.raises(StateError, match=rf"{state}/mirror\.lock has been locked"),
    ):
        mirror.fetch()

    mirror.fetch()


def test_prune_leaves_what_anybody_holds(normal: Repository, state: Path) -> None:
    """As another process would, the other mirror does not know that it is held."""
    mirror, other = mirror_of(normal, state), mirror_of(normal, state)
    commit = mirror.fetch()

    with mirror.held(commit) as folder, other.held(commit):
        other.prune(())
        assert contents(folder) == {"f": "1\n"}
    with mirror.held(commit):
        other.prune(())
        assert contents(folder) == {"f": "1\n"}

    other.prune(())
    assert not folder.exists()
    with mirror.held(commit) as again:
        assert contents(again) == {"f": "1\n"}


def test_a_checkout_that_is_held_is_there_whatever_is_pruned(
    normal: Repository, state: Path
) -> None:
    """Also where it is removed between making it and holding it."""
    mirror = mirror_of(normal, state)
    commit = mirror.fetch()

    def act(turn: int) -> None:
        if turn % 3 == 0:
            mirror.prune(())
            return
        with mirror.held(commit) as folder:
            assert contents(folder) == {"f": "1\n"}

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(act, range(120)))) == 120


def test_prune_before_anything_was_fetched(normal: Repository, state: Path) -> None:
    mirror_of(normal, state).prune(set())


# --- submodules ------------------------------------------------------------------


def test_submodules_of_submodules_are_checked_out(tmp_path: Path, state: Path) -> None:
    inner = make_repository(tmp_path / "inner")
    middle = make_repository(tmp_path / "middle")
    outer = make_repository(tmp_path / "outer")
    add_submodule(middle, str(inner.path), "deep/inner")
    add_submodule(outer, str(middle.path), "middle")
    inner.commit("later", f="not pinned\n")

    found = contents(checked_out(outer, state))

    assert found["middle/deep/inner/f"] == "1\n"
    assert not [name for name in found if name.endswith("/.git")]


def test_a_relative_url_starts_at_the_repository(tmp_path: Path, state: Path) -> None:
    make_repository(tmp_path / "group/library")
    outer = make_repository(tmp_path / "group/outer")
    git(outer.work, "remote", "add", "origin", str(outer.path))
    add_submodule(outer, "../../library/repository")

    assert contents(checked_out(outer, state))["sub/f"] == "1\n"


def test_a_submodule_that_is_away_is_named_and_comes_back(
    tmp_path: Path, state: Path
) -> None:
    inner, outer = (make_repository(tmp_path / name) for name in ("inner", "outer"))
    add_submodule(outer, str(inner.path), "vendor/inner")
    inner.path.rename(tmp_path / "away")
    mirror = mirror_of(outer, state)
    commit = mirror.fetch()

    with pytest.raises(SourceError, match=r"submodule vendor/inner: .*nothing at this"):
        mirror.checkout(commit)

    (tmp_path / "away").rename(inner.path)
    assert contents(mirror.checkout(commit))["vendor/inner/f"] == "1\n"


def test_a_submodule_that_nobody_needs_may_be_left_out(
    tmp_path: Path, state: Path
) -> None:
    """One that nobody imports and nobody can read kept commits from every host."""
    outer = make_repository(tmp_path / "outer")
    for name in ("away", "kept"):
        inner = make_repository(tmp_path / name)
        add_submodule(outer, str(inner.path), f"vendor/{name}")
    add_submodule(inner, str(make_repository(tmp_path / "deep").path), "deep")
    head = git(inner.work, "rev-parse", "HEAD")
    git(outer.work, "update-index", "--cacheinfo", f"160000,{head},vendor/kept")
    git(outer.work, "commit", "--quiet", "--message", "move")
    shutil.rmtree(tmp_path / "away")

    with pytest.raises(SourceError, match=r"without_submodules: \[vendor/away\]"):
        checked_out(outer, state)
    left_out = ("vendor/away", "vendor/kept/deep")
    settings = RepositorySettings(url=outer.url, without_submodules=left_out)
    mirror = Mirror(settings, state=state)
    found = contents(mirror.checkout(mirror.fetch()))

    assert [name for name in found if "vendor" in name] == [
        "vendor/kept/.gitmodules",
        "vendor/kept/f",
    ]
    settings = settings.model_copy(update={"without_submodules": left_out[:1]})
    mirror = Mirror(settings, state=state)
    assert "vendor/kept/deep/f" in contents(mirror.checkout(mirror.fetch()))


def test_a_submodule_s_commit_that_nobody_pushed_is_named(
    tmp_path: Path, state: Path
) -> None:
    inner, outer = (make_repository(tmp_path / name) for name in ("inner", "outer"))
    add_submodule(outer, str(inner.path))
    git(outer.work, "update-index", "--cacheinfo", f"160000,{'1' * 40},sub")
    git(outer.work, "commit", "--quiet", "--message", "pin what is not there")

    with pytest.raises(SourceError, match=r"submodule sub: .* has no commit 1111"):
        checked_out(outer, state)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ext::sh -c 'touch ran'", "ext:: could run any command"),
        ("--upload-pack=touch ran", "is no repository"),
        ("ssh://-oProxyCommand=touch/x", "is no host that ssh could reach"),
        ("git://example.org/x", "git:// is not supported"),
    ],
)
def test_a_submodule_with_a_dangerous_url_is_refused(
    normal: Repository, state: Path, url: str, reason: str
) -> None:
    normal.commit(**{".gitmodules": f'[submodule "x"]\npath = x\nurl = "{url}"\n'})
    git(normal.work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(normal.work, "commit", "--quiet", "--message", "link")

    with pytest.raises(SourceError, match=reason):
        checked_out(normal, state)


def test_a_link_without_description_stays_an_empty_folder(
    normal: Repository, state: Path
) -> None:
    git(normal.work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x")
    git(normal.work, "commit", "--quiet", "--message", "link")

    assert list((checked_out(normal, state) / "x").iterdir()) == []


# --- the disk --------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 1 MiB, writable until a test says otherwise."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "t", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@as_root
def test_a_full_disk_names_the_state_directory(
    normal: Repository, small_disk: Path
) -> None:
    (normal.work / "large").write_bytes(os.urandom(3 << 20))
    normal.commit_all()

    with pytest.raises(StateError, match=f"{small_disk}.*No space left on device"):
        mirror_of(normal, small_disk).fetch()


@as_root
def test_a_disk_that_is_full_during_a_checkout(
    normal: Repository, small_disk: Path
) -> None:
    (normal.work / "large").write_bytes(b"x" * (2 << 20))  # packs to nothing
    normal.commit_all()
    mirror = mirror_of(normal, small_disk)
    commit = mirror.fetch()

    with pytest.raises(StateError, match=rf"{small_disk}.*\(0 MiB free\)"):
        mirror.checkout(commit)

    assert list((small_disk / "checkouts").iterdir()) == []


@as_root
def test_a_read_only_state_directory_is_named(
    normal: Repository, small_disk: Path
) -> None:
    mirror = mirror_of(normal, small_disk)
    commit = mirror.fetch()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    for act in (
        mirror.fetch,
        lambda: mirror.checkout(commit),
        lambda: mirror.prune(()),
    ):
        with pytest.raises(StateError, match=f"{small_disk}.*Read-only file system"):
            act()
