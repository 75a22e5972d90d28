"""The script that mends units: what it does, in which order, and what it refuses."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apply.mend import mend_script
from reconciler.errors import PermanentError
from reconciler.model import Step, StepKind, UnitName


def step(kind: StepKind, unit: str, *files: str) -> Step:
    return Step(kind=kind, unit=UnitName(unit), files=files)


def run_with_recorder(script: str, folder: Path) -> list[str]:
    """Run *script* with commands that only write down how they were called."""
    record = folder / "record"
    for name in ("systemctl", "timeout", "rm", "rmdir"):
        tool = folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >>{record}\n')
        tool.chmod(0o755)
    script = script.replace("PATH=/run/", f"PATH={folder}:/run/")
    subprocess.run(["sh", "-s"], input=script, text=True, check=True, timeout=100)
    return record.read_text().splitlines() if record.exists() else []


def test_files_go_before_units_and_stops_before_starts(tmp_path: Path) -> None:
    steps = [
        step(StepKind.START, "b.service"),
        step(StepKind.RESTART, "a.service"),
        step(StepKind.STOP, "old.service"),
        step(StepKind.REVERT, "a.service", "/run/systemd/system/a.service.d/x.conf"),
        step(StepKind.UNMASK, "b.service", "/run/systemd/system/b.service"),
    ]

    assert run_with_recorder(mend_script(steps, wait=7), tmp_path) == [
        "rm -f -- /run/systemd/system/b.service",
        "rm -f -- /run/systemd/system/a.service.d/x.conf",
        "rmdir -- /run/systemd/system/a.service.d",
        "systemctl daemon-reload",
        "timeout 7 systemctl stop -- old.service",
        "systemctl reset-failed -- a.service b.service",
        "timeout 7 systemctl restart -- a.service",
        "timeout 7 systemctl start -- b.service",
    ]


def test_what_systemd_may_not_have_heard_is_said_again(tmp_path: Path) -> None:
    """While it is executed anew it hears nobody, and a service would stay down."""
    times = tmp_path / "times"
    tool = tmp_path / "systemctl"
    tool.write_text(
        f"""#!/bin/sh
        echo "$*" >>{times}
        [ "$(wc -l <{times})" -lt 3 ] || exit 0
        echo "Failed to start a.service: Connection reset by peer" >&2
        exit 1
        """
    )
    tool.chmod(0o755)
    script = mend_script([step(StepKind.STOP, "a.service")], wait=7)
    script = script.replace("PATH=/run/", f"PATH={tmp_path}:/run/")

    subprocess.run(["sh", "-s"], input=script, text=True, check=True, timeout=30)

    assert times.read_text().splitlines() == ["stop -- a.service"] * 3


def test_a_service_that_does_not_start_is_started_once(tmp_path: Path) -> None:
    times = tmp_path / "times"
    tool = tmp_path / "systemctl"
    tool.write_text(
        f'#!/bin/sh\necho "$*" >>{times}\necho "Job for a.service failed" >&2; exit 1\n'
    )
    tool.chmod(0o755)
    script = mend_script([step(StepKind.STOP, "a.service")], wait=7)
    script = script.replace("PATH=/run/", f"PATH={tmp_path}:/run/")

    subprocess.run(["sh", "-s"], input=script, text=True, check=True, timeout=30)

    assert times.read_text().splitlines() == ["stop -- a.service"]


def test_a_file_that_systemd_has_not_read_needs_no_removal_to_be_read(
    tmp_path: Path,
) -> None:
    steps = [step(StepKind.REVERT, "a.service"), step(StepKind.RELOAD, "b.service")]

    assert run_with_recorder(mend_script(steps, wait=7), tmp_path) == [
        "systemctl daemon-reload",
        "timeout 7 systemctl reload -- b.service",
    ]


def test_nothing_is_reloaded_where_no_file_changed(tmp_path: Path) -> None:
    script = mend_script([step(StepKind.START, "a.service")], wait=7)

    assert "daemon-reload" not in "".join(run_with_recorder(script, tmp_path))


@pytest.mark.parametrize(
    "file",
    [
        "/nix/store/x-unit-a.service/a.service",
        "/etc/passwd",
        "/run/systemd/../../etc/passwd",
        "/etc/systemd",
        "etc/systemd/system/a.service",
    ],
)
def test_a_file_elsewhere_is_never_removed(file: str) -> None:
    with pytest.raises(PermanentError, match="refusing to remove"):
        mend_script([step(StepKind.REVERT, "a.service", file)], wait=7)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_name_is_one_word_whatever_it_holds(name: str) -> None:
    script = mend_script([step(StepKind.START, name)], wait=7)
    last = "systemctl() { :; }; timeout() { shift 5; printf '%s' \"$#\"; }\n"

    told = subprocess.run(
        ["sh", "-s"],
        input=(last + script).encode(),
        capture_output=True,
        check=True,
        timeout=100,
    )

    assert told.stdout == b"0\n"  # `timeout 7 systemctl start -- NAME` has five words
