"""What a plan says of a system that may not let us in."""

from dataclasses import replace

import pytest

from reconciler.model import CommitId, Policy, SshServer, StorePath, Target
from reconciler.plan import as_dict, plan, ssh_warnings
from tests.unit.plan.samples import KNOWN, OLD, desired, observed

KEY, OTHER = "ssh-ed25519 SHA256:mine", "ssh-rsa SHA256:other"
GOOD = SshServer(
    enabled=True,
    ports=(22,),
    open_ports=(22, 80),
    root_login="prohibit-password",
    host_keys=("ed25519 /etc/ssh/key",),
    logins={"root": (KEY, OTHER), "deploy": (KEY,)},
)


def told(
    new: SshServer | None, former: SshServer | None = GOOD, **target: object
) -> tuple[str, ...]:
    where = replace(Target(address="lufta.example"), **target)  # type: ignore[arg-type]
    before = replace(desired(), target=where, ssh=former)
    return ssh_warnings(replace(before, ssh=new), before)


@pytest.mark.parametrize("former", [None, GOOD, SshServer(enabled=False)])
def test_a_system_that_lets_us_in_is_not_talked_about(former: SshServer | None) -> None:
    assert told(GOOD, former) == ()


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (SshServer(enabled=False), "no SSH server: services.openssh.enable is false"),
        (
            replace(GOOD, ports=(2222, 2223), open_ports=None),
            "its SSH server is at port 2222, 2223, and we come to port 22",
        ),
        (
            replace(GOOD, open_ports=(80,)),
            "its firewall does not open port 22 of its SSH server",
        ),
        (replace(GOOD, logins={"deploy": ()}), "it declares no user 'root'"),
        (replace(GOOD, root_login="no"), "PermitRootLogin is no, and we come as root"),
        (
            replace(GOOD, logins={**GOOD.logins, "root": (OTHER,)}),
            f"it takes away keys that let root in: {KEY}",
        ),
        (
            replace(GOOD, host_keys=("rsa /etc/ssh/key",)),
            "reconciler trust lufta --next KEY",
        ),
    ],
)
def test_what_may_keep_us_out_is_told(new: SshServer, words: str) -> None:
    (warning,) = told(new)

    assert words in warning


def test_what_was_so_before_is_not_told() -> None:
    """A port that is forwarded, a user of /etc/passwd: it did not keep us out."""
    server = replace(GOOD, open_ports=(), root_login="no")

    assert told(server, server, port=2222) == ()
    assert len(told(server, None, port=2222)) == 3


def test_a_port_that_a_commit_says_and_nobody_listens_at_is_told() -> None:
    before = replace(desired(), ssh=GOOD)
    target = replace(before.target, port=2222)

    (warning,) = ssh_warnings(replace(before, target=target), before)

    assert "is at port 22, and we come to port 2222" in warning


def test_another_user_need_not_be_root() -> None:
    assert told(replace(GOOD, root_login="no"), user="deploy") == ()
    assert "no user 'ops'" in told(GOOD, None, user="ops")[0]


def test_nothing_is_known_of_what_was_kept_by_an_older_version() -> None:
    assert told(None) == ()


def test_a_plan_warns_until_the_system_runs() -> None:
    before = replace(KNOWN, former=replace(desired(), ssh=GOOD))
    server = SshServer(enabled=False)
    want = replace(desired(), ssh=server)

    def warnings(running: StorePath) -> object:
        seen = observed(running=running)
        made = plan(want, seen, known=before, policy=Policy())
        return as_dict(made, want, CommitId("c" * 40))["warnings"]

    assert warnings(OLD) == list(told(server))
    assert warnings(want.toplevel) == []
