"""
What an evaluation sees of this machine: the store, the checkout, what it is given.

It begins without the network. One that fails since something has to be fetched is made
once more with a way out (`gate`): only then Nix's own credentials are there too, and
only for commits of the watched branch. To the store only a daemon of Nix writes: the
machine's, or where there is none, one of ours that lasts as long as the evaluation.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from reconciler import process
from reconciler.desired import fetched, gate, nix_conf
from reconciler.desired.fingerprint import inherited
from reconciler.desired.trace import Hides
from reconciler.desired.writer import Store, writer
from reconciler.errors import (
    CageError,
    CommandError,
    CommandTimeoutError,
    FetchRefusedError,
    LayoutError,
)
from reconciler.model import HostName
from reconciler.process import Box
from reconciler.settings import Cage, OverlaySettings, Settings

LINKS_LIMIT = 10_000
"""Files of the folders of ``repository.secrets`` that are looked at for links."""

FILES = Path(__file__).parent / "nix"

WRITER = Path("/run/nix-writer")
"""Where the socket of our own daemon of Nix is in the cage, always the same."""

CACHE = "nix-cache"  # in the state directory: what Nix fetched for evaluations

_CREDENTIALS = (".netrc", ".gitconfig", ".config/git", ".git-credentials")
_OUTSIDE = re.compile(
    r"unable to download|Could(?:n't| not) resolve host|program 'git' failed"
    r"|Could not read from remote repository|unable to access '|hg failed with"
    r"|Cannot find Git revision|[Ff]ailed to fetch"
)
_URI = re.compile(r"unable to (?:download|access) '(?P<uri>[^'\s]+)'")
_FILE = r"['\"\u2018]?(?P<file>/[^'\"\u2019\n:]+)['\"\u2019]?"
_UNSEEN = tuple(
    re.compile(pattern.replace("FILE", _FILE))
    for pattern in (
        r"(?:opening|reading)(?: from)?(?: file| directory)? FILE: No such file",
        r"getting status of FILE: No such file",
        r"path FILE does not exist",
        r"unable to download 'file://FILE",
        r"FILE does not appear to be a git repository",
    )
)


class NixCage:
    """Puts evaluations into a cage, as ``nix.cage`` says; for many threads."""

    def __init__(self, settings: Settings, *, trusted: bool) -> None:
        """Take whether what is evaluated was merged."""
        self._settings = settings
        self._trusted = trusted

    @property
    def is_there(self) -> bool:
        """Whether evaluations run in it, if they run."""
        return self._settings.nix.cage is not Cage.OFF and not process.box_problem()

    @property
    def shown(self) -> list[str]:
        """What an evaluation depends on that is not a file it reads."""
        if not self.is_there:
            return []
        seen = [str(path) for path in self._settings.nix.cage_paths]
        allowed = self._settings.nix.allowed_uris or ()
        return [*seen, *allowed, nix_conf.without_secrets()]

    @property
    def holds(self) -> bool:
        """Whether evaluations run in it; CageError where they must and cannot."""
        wanted = self._settings.nix.cage
        if wanted is Cage.OFF:
            return False
        problem = process.box_problem()
        if problem and wanted is Cage.REQUIRED:
            raise CageError(problem)
        return not problem

    def require_for_mount(self) -> None:
        """Raise LayoutError where `repository.mount_at` is set and cannot be had."""
        if self._settings.repository.mount_at is not None and not self.holds:
            message = (
                "repository.mount_at needs the cage of evaluations, in which the"
                f" checkout is at {self._settings.repository.mount_at}:"
                f" {process.box_problem() or 'nix.cage is off'}"
            )
            raise LayoutError(message)

    @contextlib.contextmanager
    def around(
        self,
        argv: Sequence[str],
        checkout: Path,
        *,
        host: HostName | None = None,
        fetches: bool = False,
        pure: bool = False,
        cache: Path | None = None,
    ) -> Iterator[tuple[tuple[str, ...], Hides]]:
        """
        Give what evaluates *argv* with sight of *checkout*, while it runs.

        And what says which paths of this machine it does not see. It gets what of
        ``repository.secrets`` is for *host*; for None, what lists the hosts. *pure* is
        an evaluation that reads no file by its path, so that only git gets at SSH keys.
        What it fetched is in *cache*, if that is named. Raises FetchRefusedError for
        what fails after it wanted to connect to where it may not.
        """
        store = Store.of_machine()
        asked = writer(store, self._settings.nix.options)
        if asked:
            store = replace(store, sockets=())
        variables = self._variables(fetches=fetches)
        box = self._box(store, checkout, host, fetches=fetches)
        if cache is not None and self._trusted:
            variables |= fetched.variables(cache)
            box = replace(box, written=(*box.written, cache))
        if fetches and pure and self._trusted:
            box = replace(box, seen=(*box.seen, Path.home() / ".ssh"))
        with contextlib.ExitStack() as stack:
            if fetches:
                way_out = stack.enter_context(gate.opened(self._reach))
                stack.enter_context(_telling(way_out))
                argv, box = way_out.around(argv), way_out.box(box)
                variables |= way_out.variables
            if asked:
                # Nobody writes to the store from inside; and there, the number of a
                # process, by which Nix keeps garbage collection off, means nothing.
                door = stack.enter_context(process.served(asked))
                placed = (*box.placed, (door.parent, WRITER))
                covered = (*box.covered, store.usual_sockets)
                box = replace(box, placed=placed, covered=covered)
                variables["NIX_REMOTE"] = f"unix://{WRITER / door.name}"
            yield box.around((*argv, *self._options(store)), variables), box.hides()

    def _options(self, store: Store) -> tuple[str, ...]:
        options = self._settings.nix.options
        sandbox = options.get("sandbox") or nix_conf.value_of("sandbox")
        if self._trusted or not store.is_ours or sandbox != "false":
            return ()
        # A builder could do all that we can.
        return ("--option", "allow-import-from-derivation", "false")

    def _variables(self, *, fetches: bool) -> dict[str, str]:
        variables: dict[str, str] = {}
        if not (fetches and self._trusted):
            # In no argument: Nix would ask a daemon to do the same.
            more = [] if fetches else ["download-attempts = 1"]
            variables["NIX_CONFIG"] = "\n".join([nix_conf.without_secrets(), *more])
        if (cache := self._cache()) is not None:
            variables |= {"XDG_CACHE_HOME": str(cache), "NIX_CACHE_HOME": str(cache)}
        return variables

    def must_fetch(self, stderr: str, checkout: Path, host: HostName | None) -> bool:
        """Say whether an evaluation failed for want of the network, and may have it."""
        wanted = bool(_OUTSIDE.search(stderr))
        return wanted and not self.refusal(stderr, checkout, host)

    def refusal(self, said: str, checkout: Path, host: HostName | None) -> str:
        """Return what an evaluation wanted and may not have, by Nix's words."""
        if not self.holds:
            return ""
        if wanted := _URI.search(said):
            with contextlib.suppress(OSError):  # of names: whoever connects is told
                try:
                    self._reach.require_uri(wanted["uri"])
                except gate.Refused as error:
                    return str(error)
        found = (pattern.search(said) for pattern in _UNSEEN)
        files = [Path(match["file"].strip()) for match in found if match]
        box = self._box(Store.of_machine(), checkout, host, fetches=False)
        hidden = next((file for file in files if not box.shows(file)), None)
        if hidden is None:
            return ""
        return self._told_withheld(hidden, host) or _told_hidden(hidden)

    def _told_withheld(self, file: Path, host: HostName | None) -> str:
        """Return that *file* is another host's, if it is."""
        for place, one in self._withheld(host).items() if self._trusted else ():
            if process.leads_into(file, one.path):
                whose = " ".join(one.hosts)
                told = f"repository.secrets gives {place} to {whose} alone"
                if host is None:
                    return f"{_may_not(file)}: {told}, and not to what lists the hosts"
                return (
                    f"{_may_not(file)}: {told}; let {host} do without it, also in what"
                    f" it asks of other hosts (nodes), or list {host} there, in `hosts`"
                )
        return ""

    def _box(
        self, store: Store, checkout: Path, host: HostName | None, *, fetches: bool
    ) -> Box:
        cache = self._cache()
        ours = [checkout.absolute(), FILES, *self._path()]
        ours += process.folders_of_program("nix-instantiate")
        if (physical := self._settings.repository.physical) is not None:
            ours.append(physical)
        if self._trusted:
            ours += self._overlays(host)
            ours += self._settings.nix.cage_paths
            ours += _credentials() if fetches else ()
        seen_at = self._settings.repository.mount_at
        return Box(
            placed=((checkout.resolve(), seen_at),) if seen_at else (),
            seen=(Path("/nix"), store.folder, store.state, *ours, *store.sockets),
            written=(cache,) if cache else (),
            covered=tuple(one.path for one in self._withheld(host).values()),
        )

    @cached_property
    def _reach(self) -> gate.Reach:
        return gate.Reach(self._settings, trusted=self._trusted)

    def _path(self) -> Iterator[Path]:
        """Yield the folders of the search path; what a repository adds is no such."""
        usual = inherited(os.environ.get("NIX_PATH"))
        for entry in (*self._settings.nix.path, *usual):
            name, equals, place = entry.partition("=")
            place = place if equals and "/" not in name else entry
            if place.startswith(("/", "~")):
                yield Path(place).expanduser()

    def _overlays(self, host: HostName | None) -> Iterator[Path]:
        """Yield the folders of secrets for *host*, and where links in them lead."""
        for one in self._settings.repository.secrets.values():
            if one.is_for(host):
                yield one.path
                files = islice(one.path.rglob("*"), LINKS_LIMIT)
                yield from (file for file in files if file.is_symlink())

    def _withheld(self, host: HostName | None) -> Mapping[str, OverlaySettings]:
        """Return what of the secrets *host* does not get: all, if nobody merged it."""
        repository = self._settings.repository
        return repository.withheld(host) if self._trusted else repository.secrets

    @property
    def fetched(self) -> Path:
        """Where Nix keeps what evaluations fetched: in the cage, or without one."""
        return (self._cache() if self.is_there else None) or fetched.usual()

    def _cache(self) -> Path | None:
        """Return where Nix keeps what it fetched, from one evaluation to the next."""
        folder = self._settings.state.path / CACHE
        if not self._trusted or not os.access(self._settings.state.path, os.W_OK):
            return None
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


@contextlib.contextmanager
def _telling(way_out: gate.Gate) -> Iterator[None]:
    """Have what fails tell what was refused to it, or could not be reached."""
    try:
        yield
    except CommandTimeoutError:
        raise
    except CommandError as error:
        if way_out.refused:
            raise FetchRefusedError(way_out.refused[-1], cause=error) from error
        stderr = "\n".join([*way_out.failed, error.stderr])
        raise CommandError(error.argv, status=error.status, stderr=stderr) from error


def _may_not(file: Path) -> str:
    real = file.resolve()
    link = f" (where it is: {real})" if real != file else ""
    return f"the evaluation may not read {file}{link}"


def _told_hidden(file: Path) -> str:
    return (
        f"{_may_not(file)}: nix.cage shows it the store, the"
        " repository and nix.path; what it needs besides, list in nix.cage_paths"
    )


def _credentials() -> Iterator[Path]:
    """Yield what Nix and git fetch with."""
    yield from (Path.home() / name for name in _CREDENTIALS)
    yield from nix_conf.credentials()
