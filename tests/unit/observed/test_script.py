"""The script that asks."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import FactError
from reconciler.model import HostName, UnitName
from reconciler.observed.probe import parse, script

RECORDED = Path(__file__).with_name("recordings") / "debian-13-systemd-257.txt"
SHELLS = [
    [path, *extra]
    for name, extra in (("dash", []), ("bash", ["--posix"]), ("busybox", ["ash"]))
    if (path := shutil.which(name))
]
NASTY = UnitName("$(touch oops)'\"; exit.service")
ESCAPED = UnitName(r"srv-with\x2ddash.service")


def run(text: str, shell: list[str], tools: Path) -> str:
    """Run the script with the programs in *tools* before all others."""
    home = "PATH=/run/current-system/sw/bin:"
    assert home in text
    done = subprocess.run(
        [*shell, "-c", text.replace(home, f"PATH={tools}:", 1)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def stub(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def systemctl_blocks() -> str:
    text = RECORDED.read_text()
    return text[text.index("== units\n") + 9 : text.index("== paths\n")]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_every_shell_gives_the_same_answer(shell: list[str], tmp_path: Path) -> None:
    """The machine's own tools, and a systemctl that says what a real one said."""
    (tmp_path / "blocks").write_text(systemctl_blocks())
    stub(tmp_path, "systemctl", f'echo "$@" >{tmp_path}/asked\ncat {tmp_path}/blocks\n')

    text = run(script([ESCAPED, UnitName("-.mount")], deadline=30), shell, tmp_path)

    observed = parse(text, host=HostName("x"), asked=[ESCAPED], now=0.0)
    own = r"/etc/systemd/system/srv-with\x2ddash.service"
    assert observed.units[ESCAPED].drop_ins == (own + ".d/my own.conf",)
    assert observed.units[ESCAPED].fragment_path == own
    asked = (tmp_path / "asked").read_text()
    loaded = "*.service *.socket *.timer *.path *.target default.target"
    assert asked.endswith(f"-- {ESCAPED} -.mount {loaded}\n")


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_links_are_followed_even_into_nothing(shell: list[str], tmp_path: Path) -> None:
    """A garbage collection can take away what a unit's link leads to."""
    (tmp_path / "dangling").symlink_to("/nix/store/gone/lost.service")
    (tmp_path / "real").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    block = "Id={0}.service\nLoadState=loaded\nActiveState=active\nFragmentPath={1}/{0}"
    blocks = "\n\n".join(block.format(n, tmp_path) for n in ("dangling", "link"))
    stub(tmp_path, "systemctl", f"cat <<'END'\n{blocks}\nEND")

    text = run(script([], deadline=30), shell, tmp_path)

    units = parse(text, host=HostName("x"), asked=(), now=0.0).units
    assert units[UnitName("link.service")].fragment == str(tmp_path / "real")
    assert (
        units[UnitName("dangling.service")].fragment == "/nix/store/gone/lost.service"
    )


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_a_systemctl_that_hangs_is_cut_off(shell: list[str], tmp_path: Path) -> None:
    stub(tmp_path, "systemctl", "exec sleep 60")

    text = run(script([], deadline=0.25), shell, tmp_path)

    with pytest.raises(FactError, match="systemctl show did not end in time"):
        parse(text, host=HostName("x"), asked=(), now=0.0)


def test_names_reach_the_shell_as_they_are() -> None:
    names = [UnitName("a@b.service"), ESCAPED, UnitName("-.mount"), NASTY]

    line = script(names, deadline=30).splitlines()[2]

    # What is no unit name is not asked about at all.
    assert shlex.split(line) == ["set", "--", "a@b.service", ESCAPED, "-.mount"]
