"""
Git where it talks to a repository elsewhere, with this machine's git configuration.

Nobody is asked for a password, no helper program of a repository's choice runs, and
what stands still is given up.
"""

import functools
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from reconciler import process
from reconciler.errors import CommandError, SourceError
from reconciler.printable import shown
from reconciler.process import Completed
from reconciler.settings import local_path
from reconciler.source import command
from reconciler.source.retry_after import traced

log = structlog.get_logger(__name__)

SILENCE = 120.0
"""Seconds after which a fetch that does not say that it gets on is given up."""

# No transport that starts a program of somebody's choice (ext).
_PROTOCOLS = "file:http:https:ssh"
# Over HTTP git gives up by itself when nothing moves.
_STALL = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30")
_SSH_OPTIONS = "-oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15"
_ABOUT_KEYS = (
    "ssh does not know the key of {host}, or knows another one. To see and record it:"
    " reconciler trust --forge {host}"
)
_PEELED = "^{}"  # how git tells what a tag leads to
_SCP_LIKE = re.compile(r"(?:(?P<user>[^/@]+)@)?(?P<host>\[[^]]+\]|[^/:]+):")

# One refusal that passes, and git has every helper erase the login for good. So it is
# given one helper alone, which asks those of the configuration, and never has them
# erase. That one needs the whole URL, to find what is configured for it.
_HELPER = (
    "!f() { unset GIT_CONFIG_PARAMETERS; case $1 in"
    " get) git credential fill ;; store) git credential approve ;; esac; }; f"
)
_CREDENTIALS = (
    *("-c", "credential.helper="),
    *("-c", f"credential.helper={_HELPER}"),
    *("-c", "credential.useHttpPath=true"),
)


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository elsewhere: a path or a URL, and the SSH keys that its host has."""

    url: str
    known_hosts: Path | None = None  # besides what ssh itself knows

    def at(self, url: str) -> "Remote":
        """Return the repository at *url*, to be reached in the same way."""
        return replace(self, url=url)

    @property
    def shown(self) -> str:
        """The URL for people, without a login."""
        return shown(self.url)

    @property
    def path(self) -> Path | None:
        """The path where it is on this machine, if it is."""
        return local_path(self.url)

    def ask(
        self, *patterns: str, deadline: float = command.ASK_DEADLINE
    ) -> dict[str, str]:
        """
        Return the object names of those refs that end in one of *patterns*.

        Raises SourceError.
        """
        argv = ["ls-remote", "--refs", *self._upload_pack(), "--", self.url, *patterns]
        done = self._run(argv, deadline=deadline)
        pairs = (line.split("\t", 1) for line in done.stdout.splitlines())
        return {ref: name for name, ref in pairs}

    def tags(self, pattern: str) -> list[tuple[str, str]]:
        """
        Return the refs of tags that match *pattern*, and the commit of each.

        The newest version first; what is before a release (``-rc1``) comes after it.
        Raises SourceError.
        """
        wanted = f"refs/tags/{pattern}"
        how = ("-c", "versionsort.suffix=-", "ls-remote", "--sort=-version:refname")
        argv = [*how, *self._upload_pack(), "--", self.url, wanted, f"{wanted}^{{}}"]
        done = self._run(argv, deadline=command.ASK_DEADLINE)
        tags: dict[str, str] = {}
        peeled: dict[str, str] = {}
        for line in done.stdout.splitlines():
            name, _, ref = line.partition("\t")
            whole = ref.removesuffix(_PEELED)
            if ref.startswith("refs/tags/"):
                (tags if ref == whole else peeled)[whole] = name
        # What a tag with a message leads to counts, not the tag itself. Its line tells
        # nothing of the order: git puts `v1.1^{}` before `v1.1.1`.
        return [(ref, peeled.get(ref, name)) for ref, name in tags.items()]

    def fetch(self, git_dir: Path, *refspecs: str) -> None:
        """
        Bring *refspecs* into *git_dir*, and nothing else.

        Raises SourceError, or StateError where our disk is the reason.
        """
        # Of a repository whose history is cut off git refuses new refs, and says so
        # with a warning alone.
        options = ("--force", "--update-shallow", "--progress")
        without = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        argv = [f"--git-dir={git_dir}", "fetch", *options, *without]
        argv += [*self._upload_pack(), "--", self.url, *refspecs]
        with command.disk_errors(git_dir):
            self._run(argv, deadline=command.FETCH_DEADLINE, silence=SILENCE)

    def fetch_lfs(self, git_dir: Path, commit: str) -> None:
        """
        Bring what *commit* keeps in LFS into *git_dir*, by git-lfs.

        Raises what `fetch` raises.
        """
        where = ("-c", f"remote.origin.url={self.url}")
        argv = [*where, f"--git-dir={git_dir}", "lfs", "fetch", "origin", commit]
        with command.disk_errors(git_dir):
            self._run(argv, deadline=command.FETCH_DEADLINE)

    def _run(
        self, args: list[str], *, deadline: float, silence: float | None = None
    ) -> Completed:
        with traced(self.url) as trace:
            try:
                return command.git(
                    [*command.OPTIONS, *_STALL, *_CREDENTIALS, *args],
                    deadline=deadline,
                    silence=silence,
                    env={**self._environment(), **trace.env},
                )
            except CommandError as error:
                message = f"the repository {self.shown} cannot be read: "
                message += self._why(error)
                raise SourceError(message, retry_after=trace.retry_after()) from error

    def _why(self, error: CommandError) -> str:
        """Return why git could not read it, and what to do where we know that."""
        if self.path is not None and not self.path.exists():
            return "there is nothing at this path"
        if "from promisor remote" in error.stderr:
            return (
                "it is a partial clone and lacks objects that it would have to give;"
                " name the repository it was cloned from, or clone without --filter"
            )
        said = command.said(error)
        if "Host key verification failed" in error.stderr and ssh_host(self.url):
            return f"{said}; {_ABOUT_KEYS.format(host=ssh_host(self.url))}"
        return said

    def _environment(self) -> Mapping[str, str]:
        """Return the environment in which nobody is asked and no helper may run."""
        env = {
            **command.STABLE,
            "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
        }
        # Whoever names another ssh program knows its options.
        if self.path is None and not os.environ.get("GIT_SSH"):
            env["GIT_SSH_COMMAND"] = f"{_ssh_command()} {_SSH_OPTIONS}{self._keys()}"
        return env

    def _keys(self) -> str:
        """Return the option by which ssh also knows the keys that we recorded."""
        file = self.known_hosts
        if file is None or not file.exists() or not ssh_host(self.url):
            return ""
        try:
            files = _ssh_settings(self.url).get("globalknownhostsfile", "").split()
        except SourceError as error:  # another program, which knows its own keys
            log.debug("our known hosts do not count for git", reason=str(error))
            return ""
        value = " ".join([*files, f'"{file}"'])
        return " " + shlex.quote(f"-oGlobalKnownHostsFile={value}")

    def _upload_pack(self) -> tuple[str, ...]:
        """
        Let git read a repository of this machine although another user owns it.

        That is usual: people push as ``git`` and the reconciler runs as another user.
        Git refuses until told otherwise (safe.directory), and its serving side, which
        is the one to ask, does not inherit ``-c``.
        """
        if (path := self.path) is None:
            return ()
        real = Path(os.path.realpath(path))
        places = dict.fromkeys([path, path / ".git", real, real / ".git"])
        options = [f"-c {shlex.quote(f'safe.directory={place}')}" for place in places]
        return (f"--upload-pack=git {' '.join(options)} upload-pack",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """Where ssh connects to for a URL, and what it calls the keys that it finds."""

    address: str
    port: int
    alias: str  # of the keys, in place of address and port; mostly empty


def ssh_server(url: str) -> SshServer | None:
    """
    Return where ssh connects to for *url*; None where that is no URL for ssh.

    Raises SourceError when ssh cannot say.
    """
    if not ssh_host(url):
        return None
    said = _ssh_settings(url)
    return SshServer(
        address=said.get("hostname", ""),
        port=int(said.get("port", "22")),
        alias=said.get("hostkeyalias", ""),
    )


def ssh_host(url: str) -> str:
    """Return the host that ssh is told for *url*; empty where that is no SSH URL."""
    return _told(url)[-1]


def _told(url: str) -> list[str]:
    """Return the arguments with which git starts ssh for *url*: options, then host."""
    if local_path(url) is not None:
        return [""]
    if "://" not in url:
        match = _SCP_LIKE.match(url)
        return [*_user(match["user"]), match["host"].strip("[]")] if match else [""]
    parts = urlsplit(url)
    if parts.scheme != "ssh" or not parts.hostname:
        return [""]
    port = ["-p", str(parts.port)] if parts.port else []
    return [*port, *_user(parts.username), parts.hostname]


def _user(name: str | None) -> list[str]:
    return ["-l", name] if name else []


def _ssh_settings(url: str) -> dict[str, str]:
    """Return what ssh's configuration says for *url*, by lower-case name."""
    *options, host = _told(url)
    argv = [*shlex.split(_ssh_command()), "-G", *options, "--", host]
    try:
        done = process.run(argv, deadline=command.ASK_DEADLINE)
    except CommandError as error:
        message = f"ssh cannot say how it reaches {host}: {command.said(error)}"
        raise SourceError(message) from error
    pairs = (line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return dict(pairs)


@functools.cache
def _ssh_command() -> str:
    if of_environment := os.environ.get("GIT_SSH_COMMAND"):
        return of_environment
    argv = ["config", "--get", "core.sshCommand"]
    done = command.git(argv, deadline=command.ASK_DEADLINE, env={}, check=False)
    return done.stdout.strip() or "ssh"
