"""The ready hook for a bare repository: a real push, a real server."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hooks import SHARED, Hooks, hexmac, hooks_server
from tests.support.program import Program
from tests.support.rig import Repository, free_port
from tests.support.wait import wait_until

HOOK = Path(__file__).parents[2] / "deploy/hooks/post-receive"
DEADLINE = 60.0  # seconds

SECRETS = [
    pytest.param(SHARED, id="quotes and blanks"),
    pytest.param("k" * 64, id="a block"),
    pytest.param("k" * 65, id="more than a block"),
    pytest.param("k" * 300, id="long"),
    pytest.param("x", id="a byte"),
    pytest.param("🔑 %s \\n $(id) `id` ü", id="what shells dislike"),
]


def install(repository: Repository, url: str, secret: Path) -> None:
    hook = repository.bare / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(HOOK, hook)
    for key, value in (("url", url), ("secretFile", str(secret))):
        repository.git("-C", str(repository.bare), "config", f"reconciler.{key}", value)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    content = tmp_path / "content"
    content.mkdir()
    (content / "file").write_text("x")
    return Repository(tmp_path, content)


@pytest.fixture
def hooks(tmp_path: Path) -> Iterator[Hooks]:
    with hooks_server(tmp_path) as hooks:
        yield hooks


def push(repository: Repository, **env: str) -> str:
    """Push a commit; return what the person who pushes is told."""
    repository.git("commit", "-q", "--allow-empty", "-m", "A commit")
    done = subprocess.run(
        ["git", "-C", str(repository.work), "push", "-q", "origin", "HEAD:main"],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
        env={**os.environ, **env},
    )
    return done.stdout + done.stderr


@pytest.fixture
def ready(repository: Repository, hooks: Hooks) -> Repository:
    repository.git("add", "-A")
    repository.git("config", "user.name", "test")
    repository.git("config", "user.email", "test@localhost")
    install(repository, hooks.url("/hooks/generic"), hooks.secret)
    return repository


@pytest.mark.parametrize("secret", SECRETS)
def test_a_push_is_told(ready: Repository, hooks: Hooks, secret: str) -> None:
    hooks.secret.write_text(f"{secret}\n")

    assert push(ready) == ""

    assert hooks.counted() == {"accepted": 1}
    assert hooks.rings == 1


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_any_shell_will_do(ready: Repository, hooks: Hooks, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    hook = ready.bare / "hooks" / "post-receive"
    words = f"{program} sh" if shell == "busybox" else program
    hook.write_text(hook.read_text().replace("#!/bin/sh", f"#!{words}", 1))

    assert push(ready) == ""
    assert hooks.counted() == {"accepted": 1}


def test_the_secret_is_in_no_argv(
    ready: Repository, hooks: Hooks, tmp_path: Path
) -> None:
    """Everybody on a machine can read the arguments of every process."""
    folder = tmp_path / "bin"
    folder.mkdir()
    told = tmp_path / "argv"
    for name in ("openssl", "curl", "od", "tr", "cat", "git"):
        real = shutil.which(name)
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "$0 $@" >>{told}\nexec {real} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    assert push(ready, PATH=f"{folder}:{os.environ['PATH']}") == ""

    assert hooks.counted() == {"accepted": 1}
    argv = told.read_text()
    assert "curl" in argv
    assert SHARED not in argv
    assert SHARED.encode().hex() not in argv


def test_it_leaves_nothing_behind(
    ready: Repository, hooks: Hooks, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    push(ready, TMPDIR=str(scratch))

    assert hooks.rings == 1
    assert list(scratch.iterdir()) == []


def test_whatever_is_wrong_the_push_is_done_and_its_author_is_told(
    ready: Repository, hooks: Hooks, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/hooks/generic"
    install(ready, nobody, hooks.secret)
    assert f"could not tell {nobody}" in push(ready)

    install(ready, hooks.url("/hooks/generic"), tmp_path / "nothing")
    assert "there is no secret in" in push(ready)

    wrong = tmp_path / "wrong"
    wrong.write_text("another secret\n")
    install(ready, hooks.url("/hooks/generic"), wrong)
    told = push(ready)
    assert "404" in told
    assert "could not tell" in told
    assert "another secret" not in told

    ready.git("-C", str(ready.bare), "config", "--unset", "reconciler.url")
    assert "has no reconciler.url" in push(ready)
    assert hooks.rings == 0
    there = ready.git("-C", str(ready.bare), "rev-parse", "main").strip()
    assert there == ready.head


def test_what_it_sends_is_an_hmac_as_everybody_computes_it() -> None:
    """The server of these tests and the hook could be wrong in the same way."""
    assert hexmac(b"what do ya want for nothing?", "Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"  # RFC 4231
    )


def test_a_daemon_sees_the_push_at_once(tmp_path: Path) -> None:
    """Its next poll is an hour away."""
    secret = tmp_path / "hook-secret"
    secret.write_text(f"{SHARED}\n")
    route = {"provider": "generic", "secret_file": str(secret)}
    with Program(tmp_path, webhooks={"push": route}) as program:
        url = f"http://127.0.0.1:{program.port}/hooks/push"
        install(program.repository, url, secret)
        program.start()
        head = program.repository.push("Another commit")
        wait_until(lambda: head in program.said, DEADLINE, "the commit to be seen")
        assert SHARED not in program.said
        assert program.stop() == 0
