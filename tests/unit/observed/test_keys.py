"""What stands at the paths of keys: the script that looks, and the parser."""

import contextlib
import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import FactError
from reconciler.model import DesiredSecret, HostName, Observed, ObservedKey
from reconciler.observed.answer import Answer, AnswerError, read_answer
from reconciler.observed.keys import (
    is_key_path,
    read_keys,
    read_left_behind,
    read_secrets,
)
from reconciler.observed.probe import parse, script
from tests.unit.observed.test_script import SHELLS

RECORDINGS = Path(__file__).with_name("recordings")
HOST = HostName("lufta")
SECRET = "correct horse battery staple\n"  # noqa: S105
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
ODD_NAMES = (
    "plain",
    "two words ",
    " 'quo\"ted'",
    "back\\slash\\n",
    "ключ",
    "a\rb",
    "-n",
)
shells = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)


def look(paths: list[str], shell: list[str]) -> dict[str, ObservedKey]:
    done = subprocess.run(
        [*shell, "-c", script([], paths, deadline=60)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=True,
    )
    assert done.stderr == b""
    return read_keys(read_answer(done.stdout.decode()), paths)


def secret(path: str, renewed: str = "") -> DesiredSecret:
    return DesiredSecret(
        name="db",
        tool="sops-nix",
        file="db.yaml",
        path=path,
        user="root",
        group="root",
        mode=0o400,
        renewed=renewed,
    )


def ask_of_secrets(asked: list[DesiredSecret], shell: list[str]) -> Answer:
    done = subprocess.run(
        [*shell, "-c", script([], [], asked, deadline=60)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=True,
    )
    assert done.stderr == b""
    assert DIGEST not in done.stdout.decode(), "their content is not read"
    return read_answer(done.stdout.decode())


def look_at_secrets(paths: list[str], shell: list[str]) -> dict[str, ObservedKey]:
    return read_secrets(ask_of_secrets([secret(path) for path in paths], shell), paths)


@shells
def test_secrets_lie_behind_links(shell: list[str], tmp_path: Path) -> None:
    generation = tmp_path / "secrets.d/3"
    generation.mkdir(parents=True)
    (tmp_path / "secrets").symlink_to(generation)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "etc").symlink_to(tmp_path / "secrets/two words")
    for name in ("db", "two words"):
        (generation / name).write_text(SECRET)
        (generation / name).chmod(0o440)
    names = ["secrets/db", "secrets/two words", "etc", "dangling", "secrets/none"]

    found = look_at_secrets([f"{tmp_path}/{name}" for name in names], shell)

    assert [(one.kind, one.mode) for one in found.values()] == [
        *[("regular", 0o440)] * 3,
        *[("missing", 0)] * 2,
    ]
    assert all(one.digest == "" for one in found.values())


@shells
def test_when_a_generation_of_secrets_was_made(
    shell: list[str], tmp_path: Path
) -> None:
    """Its link and its folder tell; the newer of the two counts."""
    made, later, link = 1_600_000_000, 1_600_000_600, tmp_path / "secrets"
    (tmp_path / "secrets.d/3").mkdir(parents=True)
    link.symlink_to(tmp_path / "secrets.d/3")
    links = [str(link), f"{tmp_path}/none"]
    asked = [secret(f"{link}/db", link) for link in links]

    def told() -> dict[str, float]:
        return read_left_behind(ask_of_secrets(asked, shell), f"{tmp_path}/nowhere")

    os.utime(link, (made, made), follow_symlinks=False)
    os.utime(tmp_path / "secrets.d/3", (made, made))
    assert told()[str(link)] == -made, "nobody knows what runs"
    os.utime(link, (later, later), follow_symlinks=False)
    assert told()[str(link)] == -later
    os.utime(link, (made, made), follow_symlinks=False)
    os.utime(tmp_path / "secrets.d/3", (later, later))
    assert told()[str(link)] == -later
    assert links[1] not in told()


def test_how_far_generations_are_behind_what_runs() -> None:
    said = (
        "== renewed\n1700000900 /run/current-system\n"
        "1700000000 /run/secrets\n1700000300 /run/secrets\n1700000905 /run/agenix\n"
    )
    text = recorded().text.replace("== end", f"{said}== end")

    found = read_left_behind(read_answer(text), "/run/current-system")

    assert found == {"/run/secrets": 600.0, "/run/agenix": -5.0}
    with pytest.raises(AnswerError, match="link of secrets"):
        read_left_behind(read_answer(text.replace("905 /run", "9x5 /run")), "/run")


@pytest.mark.parametrize("status", ["124", "137", "127"])
def test_secrets_that_could_not_be_looked_at_are_not_missing(status: str) -> None:
    text = recorded().text.replace("== end", f"== secrets\nstatus={status}\n== end")

    assert read_secrets(read_answer(text), ["/run/secrets/db"]) == {}


@pytest.mark.parametrize("line", ["", "== secrets\n", "== secrets\nnonsense\n"])
def test_an_answer_that_says_nothing_of_secrets_is_refused(line: str) -> None:
    text = recorded().text.replace("== end", f"{line}== end")

    with pytest.raises(AnswerError):
        read_secrets(read_answer(text), ["/run/secrets/db"])


@shells
def test_names_of_every_sort(shell: list[str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ODD_NAMES]
    for file in files:
        file.write_text(SECRET)
        file.chmod(0o640)

    found = look([*map(str, files), f"{tmp_path}/absent"], shell)

    for file in files:
        seen = found[str(file)]
        assert (seen.kind, seen.digest, seen.mode) == ("regular", DIGEST, 0o640)
        assert (seen.uid, seen.user) == (os.geteuid(), file.owner())
    assert found[f"{tmp_path}/absent"].kind == "missing"
    assert found[f"{tmp_path}/absent"].digest == ""


@shells
def test_hundreds_of_keys(shell: list[str], tmp_path: Path) -> None:
    files = [tmp_path / f"folder {number % 7}" / str(number) for number in range(400)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(file.name)

    found = look([str(file) for file in files], shell)

    for file in files:
        digest = hashlib.sha256(file.name.encode()).hexdigest()
        assert found[str(file)].digest == digest


@shells
def test_no_keys_at_all(shell: list[str]) -> None:
    assert look([], shell) == {}


@shells
def test_what_is_no_file_is_told_and_never_read(
    shell: list[str], tmp_path: Path
) -> None:
    """A link at the place of a key could lead to any file of the host."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    names = ("link", "dangling", "directory", "pipe", "secret/below")

    found = look([f"{tmp_path}/{name}" for name in names], shell)

    kinds = [found[f"{tmp_path}/{name}"].kind for name in names]
    assert kinds == ["symlink", "symlink", "directory", "fifo", "missing"]
    assert {key.digest for key in found.values()} == {""}


@shells
def test_a_file_that_no_key_could_be_is_not_read(
    shell: list[str], tmp_path: Path
) -> None:
    huge, other = tmp_path / "huge", tmp_path / "other"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    other.write_text(SECRET)

    found = look([str(huge), str(other)], shell)

    assert (found[str(huge)].kind, found[str(huge)].digest) == ("regular", "")
    assert found[str(other)].digest == DIGEST


@shells
def test_a_folder_behind_a_link_is_told(shell: list[str], tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    paths = [f"{tmp_path}/{n}/key" for n in ("real", "link", "link/new", "dangling")]

    found = look([*paths, "/var/run/keys/key", f"/{tmp_path}//real/key"], shell)

    folders = [found[path].folder for path in paths]
    assert folders == ["", str(real), f"{real}/new", f"{tmp_path}/gone"]
    # On every NixOS /var/run is a link to /run, and nobody means harm by it.
    assert found["/var/run/keys/key"].folder == ""
    assert found[f"/{tmp_path}//real/key"].folder == ""


@shells
def test_memory_and_disk_are_told_apart(shell: list[str]) -> None:
    """By the nearest folder that exists, for one that is still to be made."""
    found = look(["/dev/shm/a/b/key", "/proc/key", "/key"], shell)  # noqa: S108

    assert [key.in_memory for key in found.values()] == [True, False, False]


@pytest.mark.parametrize("path", ["", "keys", "/run/a\nb", "/run/a\0b", "/run/\udc80"])
def test_what_is_no_path_is_not_asked_about(path: str) -> None:
    assert not is_key_path(path)
    answer = read_answer(recorded().text)

    assert read_keys(answer, [path])[path].kind == "missing"


# --- recorded answers -------------------------------------------------------------


class Recorded:
    """The answer of a host on which the keys of `tests/fleet` were tampered with."""

    def __init__(self, name: str) -> None:
        self.text = (RECORDINGS / f"{name}.txt").read_text()
        answer = read_answer(self.text)
        self.digests = [line[:64] for line in answer.digests]
        folders = answer.folders[2::3]
        found = [line.split(" ", 6)[-1] for line in answer.keys]
        self.paths = [*found, *(f"{folder}/absent" for folder in folders)]

    def observed(self, text: str | None = None) -> Observed:
        """Parse the answer, or another one to the same question."""
        text = self.text if text is None else text
        return parse(text, host=HOST, asked=(), keys=self.paths, now=0.0)


def recorded() -> Recorded:
    return Recorded("keys-debian-12")


def test_a_recorded_answer() -> None:
    keys = recorded().observed().keys

    seen = {
        path: (key.kind, f"{key.user}:{key.group}", f"{key.mode:o}", key.in_memory)
        for path, key in keys.items()
    }
    assert seen == {
        "/run/keys/withinbot": ("regular", "nobody:root", "400", True),
        "/run/keys/chmodded": ("regular", "root:root", "666", True),
        "/run/keys/two words": ("regular", "4711:4712", "640", True),
        "/run/keys/link": ("symlink", "root:root", "777", True),
        "/var/keys/on disk": ("regular", "root:root", "600", False),
        "/run/keys/absent": ("missing", ":", "0", True),
        "/run/elsewhere/absent": ("missing", ":", "0", False),
        "/var/keys/absent": ("missing", ":", "0", False),
    }
    assert keys["/run/elsewhere/absent"].folder == "/etc"


def test_no_hash_is_shown() -> None:
    answer = recorded()
    observed = answer.observed()

    assert len(answer.digests) > 2
    for digest in answer.digests:
        assert digest in {key.digest for key in observed.keys.values()}
        assert digest not in repr(observed)
        assert digest not in repr(read_answer(answer.text))


def test_a_section_that_is_missing_is_an_error() -> None:
    for section in ("keys", "digests", "folders"):
        with pytest.raises(FactError, match=f"no section '{section}'"):
            recorded().observed(recorded().text.replace(f"== {section}\n", ""))


KEY_LINES = (
    recorded().text[recorded().text.index("== keys") :].splitlines(keepends=True)
)
BEFORE = recorded().text[: recorded().text.index("== keys")]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(KEY_LINES) - 1),
            st.one_of(
                st.just(""),
                st.text(max_size=40),
                st.sampled_from(KEY_LINES),
                st.sampled_from(recorded().digests).map(lambda digest: digest + "\n"),
            ),
        ),
        max_size=6,
    )
)
def test_no_damage_makes_an_error_tell_a_hash(damage: list[tuple[int, str]]) -> None:
    answer, lines = recorded(), list(KEY_LINES)
    for index, line in damage:
        lines[index] = line
    told = ""
    with contextlib.suppress(FactError):
        try:
            answer.observed(BEFORE + "".join(lines))
        except FactError as error:
            told = f"{error} {error!r} {error.__cause__!r}"
            raise

    for digest in answer.digests:
        assert digest not in told
        assert digest[:16] not in told
