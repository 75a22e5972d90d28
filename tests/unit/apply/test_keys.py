"""The scripts that deliver and remove keys, in every shell, without a host."""

import hashlib
import os
import pwd
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.apply import Delivered, deliver_keys, remove_keys
from reconciler.apply.scripts import script
from reconciler.errors import RemoteError
from reconciler.model import DesiredKey, HostName, KeyOrigin
from reconciler.remote import OnLine, RemoteResult
from tests.support.budget import examples
from tests.support.leaks import find_leaks, marked
from tests.support.wait import wait_until
from tests.unit.observed.test_script import SHELLS

SECRET = marked()
MEMORY = Path("/dev/shm")  # noqa: S108
MARK = ".reconciler-made"
root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are root's to set")
pytestmark = root


class LocalWriter:
    """Runs scripts here, in a shell of choice, and remembers all that they said."""

    host = HostName("here")

    def __init__(self, shell: Sequence[str]) -> None:
        self.shell = shell
        self.said = ""
        self.cut = -1  # give it only so many bytes of its input
        self.tools = ""  # a folder with programs that come before all others

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """Do nothing: nobody looks here."""
        raise NotImplementedError

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """Run a script; see HostWriter."""
        assert argv[0] == "sh"
        assert (on_line, check) == (None, False)
        data = (stdin or b"")[: self.cut] if self.cut >= 0 else stdin or b""
        home = "PATH=/run/current-system/sw/bin:"
        assert home in argv[2]
        script = argv[2].replace(home, f"{home}{self.tools}:", 1)
        done = subprocess.run(
            [*self.shell, "-c", script, *argv[3:]],
            input=data,
            capture_output=True,
            timeout=deadline,
            check=False,
        )
        self.said += f"{what} {argv} {done.stdout.decode()} {done.stderr.decode()}"
        assert done.stderr == b""
        return RemoteResult(
            status=done.returncode, stdout=done.stdout.decode(), stderr="", seconds=0.0
        )


@pytest.fixture(params=SHELLS, ids=lambda shell: Path(shell[0]).name)
def writer(request: pytest.FixtureRequest) -> LocalWriter:
    return LocalWriter(request.param)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder in memory that everybody may look into."""
    path = Path(tempfile.mkdtemp(dir=MEMORY))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def key(path: Path | str, **fields: object) -> DesiredKey:
    values = {"name": Path(path).name, "path": str(path), "origin": KeyOrigin.TEXT}
    return DesiredKey(**{**values, **fields})  # type: ignore[arg-type]


def deliver(
    writer: LocalWriter, *keys: tuple[DesiredKey, bytes | None]
) -> tuple[Delivered, list[str]]:
    lines: list[str] = []
    delivered = deliver_keys(writer, keys, deadline=60, on_line=lines.append)
    return delivered, lines


def rights(path: Path) -> tuple[str, str, str]:
    return path.owner(), path.group(), f"{stat.S_IMODE(path.lstat().st_mode):o}"


def test_content_owner_and_mode(writer: LocalWriter, folder: Path) -> None:
    contents = {
        "empty": b"",
        "a line": SECRET + b"\n",
        "every byte": bytes(range(256)) * 40,
        " 'quo\"ted' $(id)\\n": b"\0",
        "ключ": b"no newline",
        ".": None,
    }
    del contents["."]
    keys = [
        (key(folder / name, user="daemon", group="tty", mode=0o440), content)
        for name, content in contents.items()
    ]

    delivered, lines = deliver(writer, *keys)

    assert delivered == Delivered(written=tuple(contents))
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content
        assert rights(folder / name) == ("daemon", "tty", "440")
    assert sorted(path.name for path in folder.iterdir()) == sorted(contents)
    assert lines == [f"key {name}: delivered" for name in contents]


def test_nothing_that_is_said_holds_a_secret(writer: LocalWriter, folder: Path) -> None:
    (folder / "file").touch()
    keys = [
        (key(folder / "bot"), SECRET),
        (key(folder / "file" / "below"), SECRET),
        (key(folder / "theirs", user="nobody-knows"), SECRET),
        (key("/run/../bot"), SECRET),
    ]

    delivered, lines = deliver(writer, *keys)

    digest = hashlib.sha256(SECRET).hexdigest()
    said = f"{writer.said} {lines} {delivered}"
    assert find_leaks(SECRET, texts={"said": said.encode()}) == []
    assert digest not in said


def test_what_is_right_is_left_alone(writer: LocalWriter, folder: Path) -> None:
    bot = folder / "bot"
    deliver(writer, (key(bot), SECRET))
    before = bot.lstat()

    delivered, lines = deliver(writer, (key(bot), SECRET))

    assert (delivered, lines) == (Delivered(same=("bot",)), [])
    assert bot.lstat().st_ino == before.st_ino
    assert bot.lstat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("known", [True, False])
def test_owner_and_mode_are_set_in_place(
    writer: LocalWriter,
    folder: Path,
    known: bool,  # noqa: FBT001
) -> None:
    """Whoever watches the file is not disturbed: it is still the same."""
    bot = folder / "bot"
    bot.write_bytes(SECRET)
    bot.chmod(0o666)
    inode = bot.lstat().st_ino
    declared = key(bot, user="daemon", group="tty", mode=0o640)

    if known:
        delivered, _ = deliver(writer, (declared, SECRET))
    else:
        delivered = deliver_keys(writer, [(declared, None)], deadline=60, on_line=print)

    assert delivered == Delivered(permitted=("bot",))
    assert rights(bot) == ("daemon", "tty", "640")
    assert bot.lstat().st_ino == inode
    assert bot.read_bytes() == SECRET


def test_another_content_replaces_the_file(writer: LocalWriter, folder: Path) -> None:
    bot = folder / "bot"
    bot.write_bytes(b"x" * len(SECRET))
    with bot.open("rb") as old:
        deliver(writer, (key(bot), SECRET))
        assert old.read() == b"x" * len(SECRET), "the old file is not written to"

    assert bot.read_bytes() == SECRET


def test_what_stands_in_the_place_of_a_key(writer: LocalWriter, folder: Path) -> None:
    (folder / "other").write_bytes(b"precious")
    (folder / "full").mkdir()
    (folder / "link").symlink_to(folder / "other")
    (folder / "to a folder").symlink_to(folder / "full")
    os.mkfifo(folder / "pipe")
    names = ("link", "to a folder", "pipe", "full")

    delivered, _ = deliver(writer, *[(key(folder / name), SECRET) for name in names])

    assert delivered.written == names[:3]
    assert delivered.failed == {"full": "a folder is in its place"}
    for name in names[:3]:
        assert (folder / name).read_bytes() == SECRET
        assert not (folder / name).is_symlink()
    assert (folder / "other").read_bytes() == b"precious"
    assert list((folder / "full").iterdir()) == []


@pytest.mark.parametrize("field", ["user", "group"])
def test_an_owner_that_is_still_to_come(
    writer: LocalWriter, folder: Path, field: str
) -> None:
    bot = folder / "bot"
    declared = key(bot, mode=0o666, **{field: "nobody-knows"})

    delivered, lines = deliver(writer, (declared, SECRET))

    told = f"there is no {field} nobody-knows"
    assert delivered == Delivered(written=("bot",), ownerless={"bot": told})
    assert rights(bot) == ("root", "root", "600")
    assert f"key bot: only root may read it for now: {told}" in lines
    owners = deliver_keys(
        writer, [(key(bot, mode=0o640), None)], deadline=60, on_line=print
    )
    assert owners == Delivered(permitted=("bot",))


def test_a_file_of_another_owner_is_rather_roots_than_theirs(
    writer: LocalWriter, folder: Path
) -> None:
    bot = folder / "bot"
    bot.write_bytes(SECRET)
    bot.chmod(0o640)
    shutil.chown(bot, "daemon", "tty")

    deliver(writer, (key(bot, user="nobody-knows", mode=0o640), SECRET))

    assert rights(bot) == ("root", "root", "600")


def stub(folder: Path, name: str, script: str) -> str:
    tools = folder / "tools"
    tools.mkdir()
    tool = tools / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return str(tools)


def test_a_new_owner_never_reads_more_than_a_key_is_for(
    writer: LocalWriter, folder: Path, tmp_path: Path
) -> None:
    """The mode is narrowed before the owner changes, and widened only afterwards."""
    seen = tmp_path / "seen"
    look = f"stat -L -c '%a %U' /proc/self/fd/3 >>{seen}"
    writer.tools = stub(tmp_path, "chown", f'{look}\nexec /bin/chown "$@"')
    bot = folder / "bot"
    bot.write_bytes(SECRET)
    bot.chmod(0o604)

    deliver(writer, (key(bot, user="daemon", group="tty", mode=0o640), SECRET))
    deliver(writer, (key(folder / "new", user="daemon", mode=0o444), SECRET))

    assert seen.read_text().splitlines() == ["600 root", "400 root"]
    assert rights(bot) == ("daemon", "tty", "640")
    assert rights(folder / "new") == ("daemon", "root", "444")


def test_a_file_that_is_being_written_is_roots_alone(
    writer: LocalWriter, folder: Path
) -> None:
    temporary = "*/reconciler-new"
    head = f"key\n0\n{folder}\nbot\ndaemon\ntty\n644\n9\n{'a' * 64}\nYWFh\n"
    with subprocess.Popen(
        [*writer.shell, "-c", f"umask 0; {script('keys')}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(head.encode())
        process.stdin.flush()
        wait_until(lambda: any(folder.glob(temporary)), 20, "the file to be made")
        (made,) = folder.glob(temporary)
        seen = rights(made), rights(made.parent)
        out, _ = process.communicate(timeout=100)

    assert seen == (("root", "root", "600"), ("root", "root", "700"))
    assert out == b"failed 0 it did not arrive whole\n"
    assert list(folder.iterdir()) == []


def test_folders_are_made_for_root_and_its_group(
    writer: LocalWriter, folder: Path
) -> None:
    delivered, _ = deliver(writer, (key(folder / "a b" / "c" / "bot"), SECRET))

    assert delivered.written == ("bot",)
    for made in (folder / "a b", folder / "a b" / "c"):
        assert stat.S_IMODE(made.lstat().st_mode) == 0o750
        assert (made / MARK).is_file()
    assert not (folder / MARK).exists()


def test_a_folder_does_not_let_others_in_by_itself(
    writer: LocalWriter, folder: Path
) -> None:
    """By a default ACL, which what is made in it inherits; its owner may set one."""
    daemon = pwd.getpwnam("daemon").pw_uid
    entries = ((1, 7, -1), (2, 7, daemon), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1))
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHi", *entry) for entry in entries
    )
    os.setxattr(folder, "system.posix_acl_default", acl)

    delivered, _ = deliver(writer, (key(folder / "bot", mode=0o640), SECRET))

    if shutil.which("setfacl"):
        assert delivered.written == ("bot",)
        assert "system.posix_acl_access" not in os.listxattr(folder / "bot")
    else:
        assert "lets others in by an ACL" in delivered.failed["bot"]
        assert not (folder / "bot").exists()


def test_a_folder_behind_a_link_is_refused(writer: LocalWriter, folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real")
    (folder / "dangling").symlink_to(folder / "gone")
    names = ("link", "link/below", "dangling")
    keys = [(key(folder / name / "bot", name=name), SECRET) for name in names]

    delivered, _ = deliver(writer, *keys, (key(folder / "good"), SECRET))

    assert delivered.written == ("good",)
    assert list(delivered.failed) == list(names)
    for why in delivered.failed.values():
        assert "leads elsewhere" in why
    assert list((folder / "real").iterdir()) == []
    assert not (folder / "gone").exists()


@pytest.mark.parametrize(
    "path",
    ["relative", "/a/../b", "/a/./b", "/a/", "/a\nb", "/a\0b", "/a\udc80", "/", ""],
)
def test_what_is_no_path_is_not_sent(path: str) -> None:
    writer = LocalWriter(["false"])
    odd = key(path, name="odd")

    delivered, _ = deliver(writer, (odd, SECRET))
    removed = remove_keys(writer, [path], deadline=60, on_line=print)

    assert delivered.failed == {"odd": "it is no path that a key can have"}
    assert removed.failed == {path: "it is no path that a key can have"}
    assert writer.said == ""


@pytest.mark.parametrize("name", ["a:b", "a\nb", "", "\0"])
def test_what_is_no_owner_is_not_sent(name: str) -> None:
    writer = LocalWriter(["false"])

    delivered, _ = deliver(writer, (key("/run/keys/bot", user=name), SECRET))

    assert "is no name of a user" in delivered.failed["bot"]


def test_no_keys_need_no_host() -> None:
    assert deliver(LocalWriter(["false"])) == (Delivered(), [])


def test_a_batch_that_is_cut_off_leaves_nothing_half(
    writer: LocalWriter, folder: Path
) -> None:
    """Keys are there whole or not at all, and nothing lies beside them."""
    names = ("first", "second")
    keys = [(key(folder / name), SECRET * 20) for name in names]
    whole = len(f"key\n0\n{folder}\nfirst\nroot\nroot\n600\n{len(SECRET) * 20}\n") + 65
    content = len(SECRET) * 20 * 4 // 3
    for cut in (
        5,
        whole - 40,
        whole,
        whole + 10,
        whole + content,
        whole + content + 80,
    ):
        writer.cut = cut

        with pytest.raises(RemoteError, match="ended before it was done") as caught:
            deliver(writer, *keys)

        assert SECRET.decode() not in str(caught.value)
        for path in folder.iterdir():
            assert path.name in names
            assert path.read_bytes() == SECRET * 20
            path.unlink()


def test_what_a_killed_batch_left_is_taken_away(
    writer: LocalWriter, folder: Path
) -> None:
    for name in ("bot", "another"):
        (folder / f".{name}.reconciler.tmp").write_bytes(SECRET)
    room = folder / ".reconciler.AbCdEf12"
    room.mkdir(mode=0o700)
    (room / "reconciler-new").write_bytes(SECRET)
    (folder / ".theirs").touch()

    deliver(writer, (key(folder / "bot"), SECRET))

    assert sorted(path.name for path in folder.iterdir()) == [".theirs", "bot"]


@settings(max_examples=examples(25), deadline=None)
@given(st.lists(st.binary(max_size=9000), max_size=4))
def test_whatever_it_holds_it_arrives(contents: list[bytes]) -> None:
    writer = LocalWriter(SHELLS[0])
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        keys = [(key(f"{folder}/{n}"), content) for n, content in enumerate(contents)]
        delivered, _ = deliver(writer, *keys)

        assert len(delivered.written) == len(contents)
        for number, content in enumerate(contents):
            assert Path(folder, str(number)).read_bytes() == content


# --- removing ---------------------------------------------------------------------


def remove(writer: LocalWriter, *paths: Path) -> tuple[list[str], dict[str, str]]:
    removed = remove_keys(writer, map(str, paths), deadline=60, on_line=print)
    return list(removed.removed), dict(removed.failed)


def test_a_key_goes_with_the_folders_that_were_made_for_it(
    writer: LocalWriter, folder: Path
) -> None:
    bot, other = folder / "made" / "below" / "bo t", folder / "made" / "other"
    deliver(writer, (key(bot), SECRET), (key(other), SECRET))

    assert remove(writer, bot) == ([str(bot)], {})
    assert sorted(path.name for path in (folder / "made").iterdir()) == [MARK, "other"]
    assert remove(writer, other, bot) == ([str(other), str(bot)], {})
    assert list(folder.iterdir()) == []


def test_what_is_not_ours_stays(writer: LocalWriter, folder: Path) -> None:
    deliver(writer, (key(folder / "made" / "bot"), SECRET))
    (folder / "made" / "theirs").touch()
    (folder / "link").symlink_to(folder / "made")
    (folder / "key").symlink_to(folder / "made" / "theirs")
    (folder / "empty").mkdir()

    done, failed = remove(
        writer,
        folder / "made" / "bot",
        folder / "link" / "theirs",
        folder / "key",
        folder / "empty",
        folder / "nowhere" / "bot",
    )

    assert done == [str(folder / "made" / "bot"), str(folder / "nowhere" / "bot")]
    assert failed == {
        str(folder / "link" / "theirs"): (
            f"{folder}/link leads elsewhere, to {folder}/made"
        ),
        str(folder / "key"): "something else than a file is in its place",
        str(folder / "empty"): "something else than a file is in its place",
    }
    assert (folder / "made" / "theirs").exists()
    assert (folder / "empty").is_dir()
