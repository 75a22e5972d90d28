"""
Keys on a real host, and on the one in memory: looked at, planned, delivered, removed.

Both are held to the same, so that what scenarios prove with the host in memory counts.
Then what only a real one can show: a full ``/run``, a connection that is cut, what
other accounts and other processes get to see.
"""

import dataclasses
import hashlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest
import yaml

from reconciler.apply import Delivered, deliver_keys, remove_keys
from reconciler.errors import ConnectError, ReconcilerError
from reconciler.model import (
    Desired,
    DesiredKey,
    Digests,
    DriftKind,
    HostName,
    KeyOrigin,
    Known,
    Observed,
    Plan,
    Policy,
    StorePath,
    SystemParts,
    Target,
)
from reconciler.observed import probe
from reconciler.plan import plan
from reconciler.remote import HostWriter, OnLine, RemoteResult
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.support.fleet import FLEET_TOOL, FleetHost, Reaper, fleets
from tests.support.host import FakeHost
from tests.support.host_keys import FakeFile
from tests.support.leaks import find_leaks, marked, watching_processes
from tests.support.wait import wait_until

LUFTA = HostName("lufta")
FOLDER = "/run/keys"
SECRET = marked()
OTHER = marked("other")
DEADLINE = 60.0  # seconds
RACE_SECONDS = float(os.environ.get("RACE_SECONDS", "1"))
ODD = " quo'ted\" $(id) ключ"
SYSTEM = StorePath(f"/nix/store/{'s' * 32}-nixos-system-lufta-24.05")


class World(Protocol):
    """A host whose keys somebody tampers with."""

    writer: HostWriter

    def write(self, path: str, content: bytes) -> None:
        """Write a file, whatever stood there."""

    def chmod(self, path: str, mode: int) -> None:
        """Change the mode of a file."""

    def chown(self, path: str, user: str) -> None:
        """Change the owner of a file."""

    def delete(self, path: str) -> None:
        """Delete a file."""

    def link(self, path: str, to: str) -> None:
        """Put a symlink in the place of a file."""

    def read(self, path: str) -> bytes:
        """Return what a file holds."""

    def link_folder(self, path: str, to: str) -> None:
        """Put a symlink in the place of a folder."""

    def keep_on_disk(self, path: str) -> None:
        """Have a folder below /run that is not in memory."""

    def add_account(self, name: str) -> None:
        """Add a user and a group."""


@dataclass(slots=True)
class FakeWorld:
    """The host in memory."""

    writer: FakeHost

    def write(self, path: str, content: bytes) -> None:
        """See World."""
        self.writer.keys.files[path] = FakeFile(content=content, mode=0o600)

    def chmod(self, path: str, mode: int) -> None:
        """See World."""
        self._change(path, mode=mode)

    def chown(self, path: str, user: str) -> None:
        """See World."""
        self._change(path, user=user)

    def delete(self, path: str) -> None:
        """See World."""
        del self.writer.keys.files[path]

    def link(self, path: str, to: str) -> None:
        """See World."""
        self.writer.keys.files[path] = FakeFile(kind="symlink", content=to.encode())

    def read(self, path: str) -> bytes:
        """See World."""
        return self.writer.keys.files[path].content

    def link_folder(self, path: str, to: str) -> None:
        """See World."""
        self.writer.keys.links[path] = to

    def keep_on_disk(self, path: str) -> None:
        """See World."""
        self.writer.keys.on_disk.add(path)

    def add_account(self, name: str) -> None:
        """See World."""
        self.writer.keys.accounts.add(name)

    def _change(self, path: str, **fields: object) -> None:
        files = self.writer.keys.files
        files[path] = dataclasses.replace(files[path], **fields)  # type: ignore[arg-type]


@dataclass(slots=True)
class RealWorld:
    """One of a fleet."""

    host: FleetHost
    writer: "CountingWriter"

    def reset(self) -> None:
        """Undo what tests did."""
        self.sh(
            "umount -q /run/disk /run/full; rm -rf /root/victim /var/lib/svc"
            " /run/disk /run/full /run/link"
            f" /run/open /run/keys/* /run/keys/.[!.]* /var/keys; userdel late;"
            f" mkdir -p {FOLDER}; chmod 750 {FOLDER}; chgrp keys {FOLDER}; true"
        )
        self.writer.trips = 0

    def write(self, path: str, content: bytes) -> None:
        """See World."""
        quoted = shlex.quote(path)
        self.sh(f"rm -rf {quoted}; printf %s {content.decode()} >{quoted}")
        self.chmod(path, 0o600)

    def chmod(self, path: str, mode: int) -> None:
        """See World."""
        self.host.exec("chmod", f"{mode:o}", path)

    def chown(self, path: str, user: str) -> None:
        """See World."""
        self.host.exec("chown", user, path)

    def delete(self, path: str) -> None:
        """See World."""
        self.host.exec("rm", path)

    def link(self, path: str, to: str) -> None:
        """See World."""
        self.host.exec("ln", "-sfn", to, path)

    def read(self, path: str) -> bytes:
        """See World."""
        return self.host.exec("cat", path).encode()

    def link_folder(self, path: str, to: str) -> None:
        """See World."""
        self.host.exec("ln", "-sfn", to, path)

    def keep_on_disk(self, path: str) -> None:
        """See World."""
        mount = f"mkdir -p {path} /var/keys && mount --bind /var/keys {path}"
        self.sh(mount)

    def add_account(self, name: str) -> None:
        """See World."""
        self.host.exec("useradd", "--no-create-home", name)

    def sh(self, script: str) -> str:
        """Run a script inside, without SSH."""
        return self.host.exec("sh", "-c", f"exec 2>/dev/null; {script}")


@dataclass(slots=True)
class CountingWriter:
    """Counts the round trips, and keeps what was printed."""

    writer: HostWriter
    trips: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def host(self) -> HostName:
        """The host's name."""
        return self.writer.host

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        self.trips += 1
        return self.writer.read(script, what=what, deadline=deadline)

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
        """See HostWriter."""
        self.trips += 1
        result = self.writer.run(
            argv,
            what=what,
            deadline=deadline,
            stdin=stdin,
            on_line=on_line,
            check=check,
        )
        self.said.append(f"{argv} {result.stdout} {result.stderr}")
        return result


@pytest.fixture(scope="module")
def fleet_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    reaper = Reaper()
    with fleets(tmp_path_factory.mktemp("fleets"), reaper) as start:
        fleet = start("lufta")
        settings = SshSettings(**yaml.safe_load(fleet.settings.read_text())["ssh"])
        assert settings.known_hosts is not None
        connections = Connections(settings, known_hosts=settings.known_hosts)
        host = fleet["lufta"]
        target = Target(address=host.address, user=host.user)
        writer = CountingWriter(connections.writer(LUFTA, target))
        yield RealWorld(host, writer)
        connections.close()
    reaper.close()


@pytest.fixture
def real(fleet_world: RealWorld) -> Iterator[RealWorld]:
    fleet_world.reset()
    yield fleet_world
    fleet_world.reset()


on_fleet = [
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="real hosts need root"),
]


@pytest.fixture(params=["memory", pytest.param("fleet", marks=on_fleet)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fleet":
        found: RealWorld = request.getfixturevalue("real")
        return found
    part = "/nix/store/part"
    parts = SystemParts(kernel=part, initrd=part, modules=part, systemd=part)
    fake = FakeHost(host=LUFTA, running=SYSTEM, booted=SYSTEM, parts=parts)
    return FakeWorld(fake)


# --- a commit with keys -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What a commit declares, and what its secrets hold."""

    keys: dict[str, DesiredKey]
    contents: dict[str, bytes]

    @property
    def digests(self) -> Digests:
        """Their hashes."""
        known = {n: hashlib.sha256(c).hexdigest() for n, c in self.contents.items()}
        return Digests(known=known)

    @property
    def batch(self) -> list[tuple[DesiredKey, bytes | None]]:
        """What is delivered if everything is."""
        return [(key, self.contents.get(name)) for name, key in self.keys.items()]


def commit(*keys: DesiredKey, content: bytes = SECRET) -> Commit:
    return Commit(
        keys={key.name: key for key in keys},
        contents={key.name: content for key in keys},
    )


def key(name: str, folder: str = FOLDER, **fields: object) -> DesiredKey:
    path = f"{folder}/{name}"
    made = DesiredKey(name=name, path=path, origin=KeyOrigin.TEXT)
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def look(world: World, wanted: Commit, *more: str) -> Observed:
    paths = [key.path for key in wanted.keys.values()]
    return probe(world.writer, [], keys=[*paths, *more], now=1.0)


def planned(world: World, wanted: Commit, *delivered: str) -> Plan:
    """Return the plan for the keys alone: the system is as it should be."""
    seen = look(world, wanted, *delivered)
    assert seen.running is not None
    seen = dataclasses.replace(seen, units={}, profile=seen.running)
    desired = Desired(
        host=LUFTA,
        toplevel=seen.running,
        derivation=StorePath(seen.running + ".drv"),
        units={},
        target=Target(address="lufta"),
        keys=wanted.keys,
    )
    known = Known(applied=seen.running, delivered=frozenset(delivered))
    return plan(desired, seen, known=known, policy=Policy(), digests=wanted.digests)


def told(made: Plan) -> dict[str, DriftKind]:
    return {drift.subject: drift.kind for drift in made.drifts}


def deliver(world: World, wanted: Commit) -> Delivered:
    lines: list[str] = []
    done = deliver_keys(
        world.writer, wanted.batch, deadline=DEADLINE, on_line=lines.append
    )
    assert not find_leaks(SECRET, texts={"lines": repr((lines, done)).encode()})
    return done


# --- the same on both -------------------------------------------------------------


def test_after_a_boot_all_keys_are_missing_and_come_back(world: World) -> None:
    late = key("late", before_activation=False)
    wanted = commit(key("bot", user="daemon", mode=0o400), key(ODD), late)

    assert set(told(planned(world, wanted)).values()) == {DriftKind.KEY_MISSING}
    done = deliver(world, wanted)

    assert done == Delivered(written=("bot", ODD, "late"))
    assert planned(world, wanted).drifts == ()
    assert world.read(f"{FOLDER}/{ODD}") == SECRET


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        ("delete", DriftKind.KEY_MISSING),
        ("write", DriftKind.KEY_CHANGED),
        ("link", DriftKind.KEY_CHANGED),
        ("chmod", DriftKind.KEY_PERMISSIONS),
        ("chown", DriftKind.KEY_PERMISSIONS),
    ],
)
def test_what_a_hand_did_is_seen_and_undone(
    world: World, tamper: str, kind: DriftKind
) -> None:
    wanted = commit(key("bot"), key("wifi"))
    deliver(world, wanted)
    arguments = {
        "write": (OTHER,),
        "link": ("/etc/passwd",),
        "chmod": (0o644,),
        "chown": ("daemon",),
    }

    getattr(world, tamper)(f"{FOLDER}/bot", *arguments.get(tamper, ()))

    made = planned(world, wanted)
    assert told(made) == {"bot": kind}
    assert [step.keys for step in made.steps] == [("bot",)]
    done = deliver(world, wanted)
    of_owner = kind is DriftKind.KEY_PERMISSIONS
    assert done.same == ("wifi",)
    assert (done.permitted if of_owner else done.written) == ("bot",)
    assert planned(world, wanted).drifts == ()
    assert world.read(f"{FOLDER}/bot") == SECRET


def test_a_new_secret_touches_only_its_key(world: World) -> None:
    deliver(world, commit(key("bot"), key("wifi")))
    wanted = commit(key("bot"), key("wifi"))
    wanted.contents["bot"] = OTHER

    assert told(planned(world, wanted)) == {"bot": DriftKind.KEY_CHANGED}
    assert deliver(world, wanted) == Delivered(written=("bot",), same=("wifi",))
    assert world.read(f"{FOLDER}/bot") == OTHER


def test_an_owner_that_the_new_system_brings(world: World) -> None:
    wanted = commit(key("bot", user="late", group="late", mode=0o640), key("wifi"))

    done = deliver(world, wanted)
    assert done.written == ("bot", "wifi")
    assert done.ownerless == {"bot": "there is no user late"}
    (drift,) = planned(world, wanted).drifts
    assert (drift.kind, drift.observed) == (DriftKind.KEY_PERMISSIONS, "root:root 0600")
    world.add_account("late")

    keys = [wanted.keys["bot"]]
    again = deliver_keys(
        world.writer, [(one, None) for one in keys], deadline=DEADLINE, on_line=print
    )
    assert again == Delivered(permitted=("bot",))
    assert planned(world, wanted).drifts == ()


def test_a_folder_that_is_a_link_gets_nothing(world: World) -> None:
    world.link_folder("/run/link", "/etc")
    wanted = commit(key("bot", "/run/link"), key("wifi"))

    (drift, other) = planned(world, wanted).drifts
    assert drift.observed == "missing: its folder leads elsewhere, to /etc"
    assert other.subject == "wifi"
    done = deliver(world, wanted)

    assert done.written == ("wifi",)
    assert "/run/link leads elsewhere, to /etc" in done.failed["bot"]
    assert told(planned(world, wanted)) == {"bot": DriftKind.KEY_MISSING}


def test_a_folder_below_run_that_is_on_a_disk_gets_nothing(world: World) -> None:
    world.keep_on_disk("/run/disk")
    wanted = commit(key("bot", "/run/disk"), key("wifi", "/var/keys"))

    (drift, _) = planned(world, wanted).drifts
    assert drift.observed == "missing: its folder is below /run and not in memory"
    done = deliver(world, wanted)

    assert done.written == ("wifi",), "a disk that the commit names is its own affair"
    assert "/run/disk is below /run and not in memory" in done.failed["bot"]


def test_a_key_whose_secret_is_lost_is_left_where_it_is(world: World) -> None:
    wanted = commit(key("bot"), key("gone"))
    deliver(world, commit(key("bot")))
    world.chmod(f"{FOLDER}/bot", 0o644)
    wanted.contents.clear()

    done = deliver(world, wanted)

    assert done.permitted == ("bot",)
    assert done.failed == {"gone": "it is not there, and its content is not known"}
    assert world.read(f"{FOLDER}/bot") == SECRET
    assert told(planned(world, wanted)) == {
        "bot": DriftKind.KEY_CHANGED,  # nobody can tell
        "gone": DriftKind.KEY_MISSING,
    }


def test_a_key_that_is_no_longer_declared_is_removed(world: World) -> None:
    deliver(world, commit(key("bot"), key("wifi")))
    world.write(f"{FOLDER}/by hand", b"x")
    bot = f"{FOLDER}/bot"

    made = planned(world, commit(key("wifi")), bot, f"{FOLDER}/wifi")
    assert told(made) == {bot: DriftKind.KEY_EXTRA}
    (step,) = made.steps
    done = remove_keys(
        world.writer, step.files, deadline=DEADLINE, on_line=lambda _: None
    )

    assert (done.removed, done.failed) == ((bot,), {})
    assert planned(world, commit(key("wifi")), bot).drifts == ()
    assert world.read(f"{FOLDER}/by hand") == b"x"


# --- only on a real one -----------------------------------------------------------


def fleet_only(test: object) -> object:
    for mark in on_fleet:
        test = mark(test)
    return test


TWENTY = [key(f"key {number}") for number in range(20)]


@fleet_only
def test_twenty_keys_cost_one_round_trip(
    real: RealWorld, record_property: Callable[[str, object], None]
) -> None:
    wanted = commit(*TWENTY)
    look(real, wanted)
    times = []
    for seen, batch in ((0, wanted), (20, commit(*TWENTY, content=OTHER)), (20, None)):
        before, began = real.writer.trips, time.monotonic()
        if batch is None:
            look(real, wanted)
        else:
            assert len(deliver(real, batch).written) == 20, seen
        times.append(time.monotonic() - began)
        assert real.writer.trips == before + 1
    record_property("deliver_new", times[0])
    record_property("deliver_changed", times[1])
    record_property("probe", times[2])


@fleet_only
def test_nothing_of_a_secret_is_seen_on_the_way(real: RealWorld) -> None:
    wanted = commit(*TWENTY)
    # It would be seen: the host's processes are among ours.
    with watching_processes(SECRET) as sightings, sleeping(real, SECRET.decode()):
        wait_until(lambda: sightings, 20, "a planted leak to be seen")

    with watching_processes(SECRET) as sightings:
        deliver(real, wanted)
        deliver(real, wanted)
        look(real, wanted)

    assert sightings == []
    assert not find_leaks(SECRET, texts={"said": "".join(real.writer.said).encode()})
    journal = real.host.exec("journalctl", "--no-pager", "--all").encode()
    assert not find_leaks(SECRET, texts={"journal": journal})


class sleeping:  # noqa: N801 # used like a function
    """Run a process on the host that has *argument* on its command line."""

    def __init__(self, world: RealWorld, argument: str) -> None:
        where = [str(FLEET_TOOL), "exec", world.host.name, "--dir"]
        script = ["sh", "-c", "read -r line", argument]
        self.process = subprocess.Popen(
            [*where, str(world.host.fleet.path), "--", *script], stdin=subprocess.PIPE
        )

    def __enter__(self) -> None:
        """Let it run."""

    def __exit__(self, *_: object) -> None:
        """Let it end."""
        self.process.communicate(b"\n", timeout=100)


@fleet_only
def test_nobody_else_can_read_a_key_at_any_moment(real: RealWorld) -> None:
    """Another account tries all the while, in a folder that it may look into."""
    folder, stop = "/run/open", threading.Event()
    real.sh(f"mkdir {folder} && chmod 755 {folder} && : >{folder}/seen")
    snoop = (
        f"until [ -e {folder}/stop ]; do cat {folder}/bot {folder}/.bot.*; done"
        f" >/tmp/seen 2>/dev/null; cat /tmp/seen; rm /tmp/seen"
    )
    seen: list[str] = []

    def look_on() -> None:
        seen.append(real.host.exec("su", "-s", "/bin/sh", "nobody", "-c", snoop))

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        wait_until(
            lambda: real.sh("pgrep -u nobody sh || true").strip(), 20, "the snoop"
        )
        for number in range(10):
            user, mode = ("root", 0o600) if number % 2 else ("daemon", 0o440)
            content = SECRET + str(number).encode()
            wanted = commit(key("bot", folder, user=user, mode=mode), content=content)
            done = deliver(real, wanted)
            assert done.written == ("bot",)
        real.chmod(f"{folder}/bot", 0o604)  # it would be seen
        wait_until(lambda: real.sh("cat /tmp/seen").strip(), 20, "the snoop to read")
    finally:
        stop.set()
        real.sh(f"touch {folder}/stop")
        thread.join(100)

    last = f"{SECRET.decode()}9"
    assert set("".join(seen).replace(last, "\n").split()) == set()


@fleet_only
def test_a_full_run_is_told_and_the_old_key_stays(real: RealWorld) -> None:
    folder = "/run/full"
    real.sh(f"mkdir {folder} && mount -t tmpfs -o size=64k none {folder}")
    deliver(real, commit(key("bot", folder)))
    wanted = commit(key("bot", folder), key("wifi"), content=b"x" * (1 << 17))

    done = deliver(real, wanted)

    assert done == Delivered(
        written=("wifi",), failed={"bot": f"no space is left in {folder}"}
    )
    assert real.read(f"{folder}/bot") == SECRET
    assert real.sh(f"ls -A {folder}").split() == ["bot"]


BIG = b"x" * (2 << 20)


def uploading(
    world: World, wanted: Commit
) -> tuple[list[ReconcilerError], threading.Thread]:
    """Deliver in another thread; the list gets the error that ends it."""
    failed: list[ReconcilerError] = []

    def upload() -> None:
        try:
            deliver(world, wanted)
        except ReconcilerError as error:
            failed.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    return failed, thread


@fleet_only
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_connection_that_is_cut_leaves_nothing_half(
    real: RealWorld, signal: str
) -> None:
    wanted = commit(key("bot"), key("big"), key("wifi"))
    deliver(real, commit(key("bot")))
    wanted.contents["big"] = BIG
    temporary = "/reconciler-new"
    failed, thread = uploading(real, wanted)
    wait_until(lambda: temporary in real.sh(f"find {FOLDER}"), 20, "the upload")
    # The session of root, not the server.
    real.sh(f"pkill -{signal} -f '^sshd: root'")
    thread.join(100)

    assert len(failed) == 1
    wait_until(
        lambda: not real.sh("pgrep base64 || true"), 20, "the script on the host to end"
    )
    wait_until(
        lambda: real.sh(f"ls -A {FOLDER}").split() == ["bot"], 20, "it to be clean"
    )
    assert real.read(f"{FOLDER}/bot") == SECRET
    assert deliver(real, wanted).written == ("big", "wifi")


@fleet_only
def test_a_script_that_was_killed_is_cleaned_up_after(real: RealWorld) -> None:
    wanted = commit(key("big"), key("wifi"))
    wanted.contents["big"] = BIG
    temporary = "/reconciler-new"
    failed, thread = uploading(real, wanted)
    wait_until(lambda: temporary in real.sh(f"find {FOLDER}"), 20, "the upload")
    # In the host's own process namespace; not the shell that says so.
    real.sh("pkill -KILL -f '[r]econciler-new'; pkill -KILL base64; true")
    thread.join(100)
    assert len(failed) == 1
    assert real.sh(f"ls -A {FOLDER}").startswith(".reconciler.")

    deliver(real, commit(key("wifi")))

    assert real.sh(f"ls -A {FOLDER}").split() == ["wifi"]


@fleet_only
def test_a_reboot_takes_keys_from_memory(real: RealWorld) -> None:
    deliver(real, commit(key("bot"), key("wifi", "/var/keys")))

    real.host.reboot()

    wanted = commit(key("bot"), key("wifi", "/var/keys"))
    try:
        seen = told(planned(real, wanted))
    except ConnectError:  # the old connection, noticed only now
        seen = told(planned(real, wanted))
    assert seen == {"bot": DriftKind.KEY_MISSING}
    assert deliver(real, wanted).written == ("bot",)


SWAPPING = """
chdir "/var/lib/svc";
symlink "/root/victim", "link"; symlink "/root/victim/bot", "file";
while (1) {
    rename "keys", "aside"; rename "link", "keys"; rename "keys", "link";
    rename "aside", "keys";
    rename "keys/bot", "was"; rename "file", "keys/bot"; rename "keys/bot", "file";
    rename "was", "keys/bot";
}
"""


@fleet_only
def test_who_swaps_links_in_their_own_folder_gets_nothing(real: RealWorld) -> None:
    """The user of a service owns the folder of its key, and the one above."""
    folder = "/var/lib/svc/keys"
    real.sh(
        "install -d -m 700 /root/victim; install -d -o daemon -g daemon /var/lib/svc"
    )
    real.sh(f"install -d -o daemon -g daemon {folder}")
    real.write("/root/victim/bot", SECRET)
    looked = (
        "sh",
        "-c",
        "stat -c '%a %U %G %h %n' /root/victim /root/victim/* && ls -A",
    )
    before = real.host.exec(*looked)
    run = ("systemd-run", "-q", "--unit=swapper", "--uid=daemon", "--")
    real.host.exec(*run, "perl", "-e", SWAPPING)
    try:
        ends = time.monotonic() + RACE_SECONDS
        while time.monotonic() < ends:
            for mode in (0o640, 0o600):
                bot = commit(key("bot", folder, user="daemon", mode=mode))
                deliver(real, bot)
                deliver(real, commit(key("bot", f"{folder}/below", user="daemon")))
                remove_keys(
                    real.writer,
                    [f"{folder}/below/bot"],
                    deadline=DEADLINE,
                    on_line=print,
                )
            assert real.host.exec(*looked) == before
        assert real.host.is_active("swapper.service")
    finally:
        real.host.exec("systemctl", "stop", "swapper.service")
    assert real.host.exec(*looked) == before
