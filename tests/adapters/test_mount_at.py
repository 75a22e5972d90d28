"""Repositories whose files import each other by absolute paths of their author."""

import shutil
from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.errors import EvaluationError, LayoutError
from reconciler.model import HostName
from reconciler.settings import Settings
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, host, write

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="there is no bubblewrap"),
]

KEANU = HostName("keanu")
ELSEWHERE = "/home/cadey/code/nixos-configs"


def reads(state: Path, *, cage: str = "auto", at: str = ELSEWHERE) -> Evaluator:
    return Evaluator(
        Settings.model_validate(
            {
                "repository": {"url": "/srv/git/machines.git", "mount_at": at},
                "nix": {
                    "path": [f"nixpkgs={NIXPKGS}"],
                    "options": OFFLINE,
                    "cage": cage,
                },
                "state": state,
            }
        )
    )


def commit(state: Path, number: int, tag: str) -> Path:
    """Write a checkout as the mirror has it, with an import by both paths."""
    checkout = state / f"checkouts/{number}/source"
    write(
        checkout,
        common__services=f"""
        {{ lib, ... }}: {{
          options.mine = lib.mkOption {{ default = "{tag}"; }};
          config.deployment.tags = [ "{tag}" ];
        }}
        """,
    )
    text = f"""
    {{ config, ... }}: {{
      imports = [ {ELSEWHERE}/common/services.nix ../../common/services.nix ];
      deployment.keys.note.keyFile = {ELSEWHERE}/note;
      environment.etc.here.text = toString ./.;
      {PLAIN}
    }}
    """
    return host(checkout, "keanu", text)


def test_each_checkout_is_where_its_files_look_for_it(tmp_path: Path) -> None:
    """Once, whichever way it is imported; and this machine has nothing there."""
    evaluator = reads(tmp_path)

    first, second = (
        evaluator.evaluate(commit(tmp_path, number, tag), KEANU)
        for number, tag in enumerate(("one", "two"))
    )

    assert (first.tags, second.tags) == (("one",), ("two",))
    assert first.keys["note"].file == "note"
    assert first.toplevel == second.toplevel, "no path tells which checkout it was"
    assert not Path(ELSEWHERE).exists()
    assert evaluator.unchanged(commit(tmp_path, 2, "x"), KEANU)[0] == ""


def test_an_error_names_the_file_of_the_repository(tmp_path: Path) -> None:
    checkout = commit(tmp_path, 0, "one")
    write(checkout, common__services="{ ... }: { services.withinbt = true; }")

    with pytest.raises(EvaluationError) as caught:
        reads(tmp_path).evaluate(checkout, KEANU)

    assert caught.value.file == "common/services.nix"
    assert ELSEWHERE not in str(caught.value)


def test_without_a_cage_it_cannot_be_had(tmp_path: Path) -> None:
    checkout = commit(tmp_path, 0, "one")

    with pytest.raises(
        LayoutError, match=r"mount_at needs the cage .* nix.cage is off"
    ):
        reads(tmp_path, cage="off").hosts(checkout)


@pytest.mark.parametrize("at", ["/", "/nix/x", "/etc/nixos", "/a/../b"])
def test_it_cannot_be_where_the_machine_is(tmp_path: Path, at: str) -> None:
    with pytest.raises(ValueError, match="a repository cannot be at"):
        reads(tmp_path, at=at)
