"""What strace writes, as it is read."""

import math
from pathlib import Path

import pytest

from reconciler.desired import checkout_names, trace
from reconciler.desired.checkout_names import CheckoutNames
from reconciler.desired.ground import Ground
from reconciler.desired.spared import grouped, learned
from reconciler.desired.trace import LINK, LIST, LOOK, READ, Access, Trace

START = '10.0 execve("/usr/bin/nix-instantiate", ["nix-instantiate"], 0x7) = 0'


def traced(tmp_path: Path, *processes: str) -> Trace:
    """Return what is read of one file for each process."""
    files = []
    for number, text in enumerate(processes):
        file = tmp_path / f"of.{number}"
        file.write_bytes(text.encode("latin-1") + b"\n")
        files.append(file)
    return trace.read(files)


@pytest.mark.parametrize(
    ("line", "access"),
    [
        (
            'openat(AT_FDCWD</>, "/a b", O_RDONLY|O_CLOEXEC) = 3</a b>',
            Access("/a b", READ, there=True),
        ),
        (
            'openat(AT_FDCWD</>, "/d", O_RDONLY|O_DIRECTORY) = 3</d>',
            Access("/d", LIST, there=True),
        ),
        (
            'newfstatat(AT_FDCWD</>, "/l", {st_mode=S_IFLNK}, AT_SYMLINK_NOFOLLOW) = 0',
            Access("/l", LINK, there=True),
        ),
        (
            'lstat("/x", 0x7ffe) = -1 ENOENT (No such file or directory)',
            Access("/x", LINK, there=False),
        ),
        (
            'readlinkat(5</one>, "two", "target", 100) = 6',
            Access("/one/two", LINK, there=True),
        ),
        (
            r'access("/\"n\303\244\\\n\37", F_OK) = 0',
            Access('/"nä\\\n\x1f', LOOK, there=True),
        ),
        (
            'openat(AT_FDCWD</in/here>, "file.nix", O_RDONLY) = 3</in/here/file.nix>',
            Access("/in/here/file.nix", READ, there=True),
        ),
    ],
)
def test_a_call_tells_which_path_was_asked_for_and_how(
    tmp_path: Path, line: str, access: Access
) -> None:
    found = traced(tmp_path, f"{START}\n10.000001 {line}")

    assert access in found.accesses
    assert found.puzzles == []


def test_a_program_in_another_folder_names_files_from_there(tmp_path: Path) -> None:
    git = '11.0 execve("/bin/git", ["git"], 0x7) = 0'
    there = '11.1 chdir("/srv/other") = 0\n11.2 access(".git/HEAD", R_OK) = 0'

    found = traced(tmp_path, START, f"{git}\n{there}")

    path = "/srv/other/.git/HEAD"
    assert Access(path, LOOK, there=True, foreign=True) in found.accesses


def test_what_was_before_nix_does_not_count(tmp_path: Path) -> None:
    """A cage reads what it is made of, and shows other paths while it is made."""
    cage = '9.0 openat(AT_FDCWD</>, "/oldroot/x", O_RDONLY) = 3</oldroot/x>'
    again = '10.1 lstat("/both", 0x7) = 0'

    found = traced(tmp_path, f'{cage}\n9.1 lstat("/both", 0x7) = 0\n{START}\n{again}')

    assert {one.path for one in found.accesses} == {
        "/both",
        "/usr/bin/nix-instantiate",
    }


@pytest.mark.parametrize(
    "line",
    [
        'openat(AT_FDCWD</>, "/cut off',
        'newcall("/a", 0x7) = 0',
        'openat(7, "relative", O_RDONLY) = 3',
        'openat(AT_FDCWD</>, "/a", O_RDONLY <unfinished ...>',
    ],
)
def test_what_is_not_understood_is_told(tmp_path: Path, line: str) -> None:
    assert traced(tmp_path, f"{START}\n10.1 {line}").puzzles


def test_a_trace_without_nix_is_none(tmp_path: Path) -> None:
    assert traced(tmp_path, '9.0 access("/etc/ld.so.preload", R_OK) = 0').puzzles


def test_a_file_that_changes_while_it_is_read_puzzles(tmp_path: Path) -> None:
    """What was seen at the end may not be what was evaluated."""
    checkout, file = tmp_path / "c" / "source", tmp_path / "outside"
    checkout.mkdir(parents=True)
    file.write_text("new")
    found = Trace(accesses={Access(str(file), READ, there=True)}, began=1.0)

    _, puzzle = learned(found, Ground(checkout))

    assert "was changed while it was evaluated" in puzzle


@pytest.mark.parametrize("path", ["/.cache/nix/fetcher-cache-v1.sqlite", "/proc/1"])
def test_what_nobody_can_compare_puzzles(tmp_path: Path, path: str) -> None:
    found = Trace(accesses={Access(f"{path}x", READ, there=True)})

    assert learned(found, Ground(tmp_path))[1]


@pytest.mark.parametrize(
    "cache",
    [
        pytest.param("/root/.cache/nix", id="the user's"),
        pytest.param("/var/lib/reconciler/nix-cache/nix", id="ours, by XDG_CACHE_HOME"),
        pytest.param("/var/lib/reconciler/nix-cache", id="ours, by NIX_CACHE_HOME"),
    ],
)
def test_that_something_is_fetched_is_seen_in_any_cache(
    tmp_path: Path, cache: str
) -> None:
    path = f"{cache}/fetcher-cache-v3.sqlite"
    found = Trace(accesses={Access(path, READ, there=False)})

    assert "fetches something" in learned(found, Ground(tmp_path))[1]


def test_files_of_one_folder_are_kept_together() -> None:
    items = [(READ, "a/x", "1"), (READ, "a/y", "2"), (READ, "b/x", "1")]

    assert len(grouped(items)) == 2
    assert grouped(items) == grouped(reversed(items))


def test_a_name_is_found_again_in_what_two_systems_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first search ends where it finds the name, with the rest not searched."""

    def path(name: str) -> str:
        return f"{checkout_names.STORE}/{name * 32}-{name}"

    checkout = tmp_path / ("c" * 40) / "source"
    texts = {
        f"{path('a')}.drv": f'["{path("s")}.drv"]',
        f"{path('b')}.drv": f'["{path("s")}.drv"]',
        f"{path('s')}.drv": f'["{path("t")}"]',
        path("t"): str(checkout),
    }
    monkeypatch.setattr(
        checkout_names, "_text_of", lambda one: texts[one.decode()].encode()
    )
    names = CheckoutNames()

    ground = Ground(checkout)
    assert names.found(ground, f'{{"derivation": "{path("a")}.drv"}}') == path("t")
    assert names.found(ground, f'{{"derivation": "{path("b")}.drv"}}') == path("t")


def test_the_same_name_in_another_folder_is_another_file(tmp_path: Path) -> None:
    found = traced(
        tmp_path,
        f'{START}\n11.0 chdir("/a") = 0\n11.1 access("x", F_OK) = 0\n'
        '11.2 chdir("/b") = 0\n11.3 access("x", F_OK) = 0',
    )

    assert Access("/a/x", LOOK, there=True) in found.accesses
    assert Access("/b/x", LOOK, there=True) in found.accesses


def test_when_links_on_the_way_changed_is_known(tmp_path: Path) -> None:
    """Of a file behind them the times stay what they were."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "first").symlink_to("link")
    (tmp_path / "loop").symlink_to("loop/further")
    ground = Ground(tmp_path / "checkout")

    changed = (tmp_path / "first").lstat().st_ctime
    assert ground.led_otherwise_at(f"{tmp_path}/first/file") == changed
    assert ground.led_otherwise_at(f"{tmp_path}/real/file") == 0.0
    assert ground.led_otherwise_at(f"{tmp_path}/loop/file") > 0.0


def test_what_a_search_path_leads_through_counts(tmp_path: Path) -> None:
    """A root that keeps a nixpkgs from garbage collection is a link that moves."""
    path = "/nix/var/nix/gcroots/here-is-none/default.nix"
    found = Trace(accesses={Access(path, LOOK, there=False)}, began=1.0)

    groups, puzzle = learned(found, Ground(tmp_path))

    assert puzzle == ""
    assert path in "".join(groups.values())


def test_a_link_to_what_is_not_seen_is_no_puzzle(tmp_path: Path) -> None:
    """The cage hides what it leads to, though it is there on this machine."""
    (tmp_path / "hidden").write_text("x")
    (tmp_path / "link").symlink_to("hidden")
    path = str(tmp_path / "link")
    asked = Trace(accesses={Access(path, LOOK, there=False)}, began=math.inf)

    _, seen = learned(asked, Ground(tmp_path / "checkout"))
    asked.hides = str(tmp_path / "hidden").__eq__
    groups, hidden = learned(asked, Ground(tmp_path / "checkout"))

    assert "came or went" in seen
    assert hidden == ""
    assert path in "".join(groups.values())


def test_a_link_out_of_the_repository_to_nowhere_is_not_there(tmp_path: Path) -> None:
    checkout = tmp_path / "source"
    checkout.mkdir()
    (tmp_path / "tree").write_text("\n120000 blob 0123\tlink")
    (checkout / "link").symlink_to("/here-is/none")
    asked = Trace(
        accesses={Access(f"{checkout}/link", LOOK, there=False)}, began=math.inf
    )

    assert learned(asked, Ground(checkout))[1] == ""
