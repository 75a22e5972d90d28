"""How it is told what an attempt brought."""

from dataclasses import replace

from reconciler.model import (
    Brought,
    BroughtCommit,
    CommitId,
    CommitRange,
    PackageChange,
    PackageKind,
    Restart,
    StorePath,
    SystemDiff,
    UnitName,
)
from reconciler.plan import brought_record, brought_told, down


def commits(count: int) -> CommitRange:
    found = tuple(
        BroughtCommit(id=CommitId(f"{n:040x}"), subject=f"Change {n}", author="A")
        for n in range(count, 0, -1)
    )
    return CommitRange(before=CommitId("0" * 40), commits=found, count=count)


def diff(**fields: object) -> SystemDiff:
    change = PackageChange(
        name="openssl",
        kind=PackageKind.UPGRADED,
        before=("3.0.13",),
        after=("3.0.14",),
        restarts=(UnitName("nginx.service"),),
    )
    return SystemDiff(
        before=StorePath("/nix/store/a"),
        after=StorePath("/nix/store/b"),
        packages=(change,),
        **fields,  # type: ignore[arg-type]
    )


def test_a_line_names_commits_packages_and_units() -> None:
    restart = Restart(unit=UnitName("nginx.service"), seconds=0.25)
    found = Brought(range=commits(1), packages=diff(), restarts=(restart,))

    assert brought_told(found) == (
        "brings “Change 1” (A); openssl 3.0.13 → 3.0.14;"
        " restarted nginx.service (down 250 ms)"
    )


def test_of_many_commits_the_newest_are_named() -> None:
    told = brought_told(Brought(range=commits(12)))

    assert "“Change 12” (A)" in told
    assert told.endswith("“Change 8” (A) and 7 more")


def test_going_back_is_told_as_such() -> None:
    went = CommitRange(undone=commits(1).commits, undone_count=1)

    assert brought_told(Brought(range=went)) == "takes back “Change 1” (A)"


def test_a_kernel_is_told_with_the_reboot_that_it_needs() -> None:
    found = Brought(packages=diff(kernel=("6.6.1", "6.6.2")))

    assert "a reboot will be needed" in brought_told(found)


def test_what_is_not_known_is_not_told_as_nothing() -> None:
    found = Brought(problem="neither this machine nor the host has it any more")

    assert brought_told(found) == ""
    record = brought_record(found)
    assert record["packages"] is None
    assert "any more" in record["problem"]


def test_downtimes_are_told_as_people_read_them() -> None:
    unit = UnitName("nginx.service")

    assert down(Restart(unit=unit, seconds=0.0123)) == "12 ms"
    assert down(Restart(unit=unit, seconds=2.26)) == "2.3 s"
    assert down(Restart(unit=unit, seconds=None)) == "not told how long"


def test_other_inputs_of_the_same_commit_are_told() -> None:
    """Else a deployment without a commit is a riddle."""
    moved = ("<nixpkgs>: 24.05 → 24.11",)

    same = brought_told(Brought(range=CommitRange(inputs=moved)))
    other = brought_told(Brought(range=replace(commits(1), inputs=moved)))

    assert same == "the same commit, other inputs: <nixpkgs>: 24.05 → 24.11"
    assert other == "brings “Change 1” (A); other inputs: <nixpkgs>: 24.05 → 24.11"
