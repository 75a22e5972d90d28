"""Desired states of hosts, asked of Nix."""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from reconciler.desired import build, fingerprint, layout, texts
from reconciler.desired.codec import from_nix
from reconciler.desired.failures import Subject, explained
from reconciler.desired.nix import FILES, Nix
from reconciler.errors import CommandError, EvaluationError, UnknownHostError
from reconciler.model import Desired, HostName
from reconciler.settings import HostSettings, Settings

Arguments = dict[str, str]


class Evaluator:
    """
    Asks Nix what a checkout says its hosts should be; may be used by many threads.

    As many evaluations run at once as cores and memory allow; others wait.
    """

    def __init__(
        self, settings: Settings, *, overlays: Callable[[], str] = lambda: ""
    ) -> None:
        """Take *overlays*, which tells what lies over each checkout just now."""
        self._settings = settings
        self._hosts: Mapping[str, HostSettings] = settings.hosts
        self._overlays = overlays
        self._nix = Nix(settings.nix)

    def override(self, hosts: Mapping[str, HostSettings]) -> None:
        """Override what commits say of *hosts*, from the next evaluation on."""
        self._hosts = hosts

    def hosts(self, checkout: Path) -> tuple[HostName, ...]:
        """Return the hosts of *checkout*, sorted; LayoutError, EvaluationError."""
        found = layout.find(checkout, self._settings.repository)
        if isinstance(found, layout.HostFolders):
            return found.hosts
        subject = Subject(checkout=checkout, hint=found.hint)
        names: list[str] = self._ask("hosts.nix", _where(checkout, found), subject)
        return tuple(sorted(map(layout.check_name, names)))

    def evaluate(self, checkout: Path, host: HostName) -> Desired:
        """
        Return what *checkout* says *host* should be.

        Raises LayoutError, UnknownHostError, EvaluationError with host and, where Nix
        names one, file and line; CommandError if this machine is to blame.
        """
        found = layout.find(checkout, self._settings.repository)
        arguments = {**_where(checkout, found), **self._identity, "host": host}
        subject = Subject(checkout=checkout, host=host)
        facts = self._ask("host.nix", arguments, subject)
        if "known" in facts:
            raise UnknownHostError(host, known=facts["known"])
        return from_nix(host, facts, self._overrides(host), checkout=checkout)

    def key_texts(
        self, checkout: Path, host: HostName, names: Sequence[str]
    ) -> dict[str, bytes]:
        """
        Return the ``text`` of the keys *names* of *host*: secrets.

        Asked of Nix apart from all else, and written nowhere. Raises KeyContentError,
        which quotes a file's name at most, if any of them cannot be had; CommandError
        if this machine is to blame. Then asking for fewer may help.
        """
        found = layout.find(checkout, self._settings.repository)
        arguments = {**_where(checkout, found), **self._identity, "host": host}
        arguments["names"] = json.dumps(sorted(names))
        return texts.ask(self._nix, arguments, checkout)

    def build(
        self,
        desired: Desired,
        *,
        root: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """
        Build *desired*, keep it by the symlink *root*, give Nix's words to *on_line*.

        Raises BuildError with the name of what failed and the end of its log. If the
        derivation is gone (``still_valid``), it must be evaluated again first.
        """
        build.realise(self._nix, desired, root=root, on_line=on_line)

    def cache_key(self, tree: str, host: HostName) -> str:
        """Return what changes whenever ``evaluate`` may return something else."""
        settings = self._settings
        parts = {
            "tree": tree,
            "host": host,
            "repository": settings.repository.model_dump(
                mode="json", include={"layout", "entry"}
            ),
            "identity": self._identity,
            "override": self._overrides(host).model_dump(mode="json"),
            "options": settings.nix.options,
            "overlays": self._overlays(),
            "path": fingerprint.of_search_path(
                settings.nix.path, os.environ.get("NIX_PATH")
            ),
            "nix": [self._nix.version, os.environ.get("NIX_CONFIG", "")],
            "package": self._package,
        }
        return fingerprint.digest(parts)

    @cached_property
    def _identity(self) -> Arguments:
        """The names that NixOps gives a deployment; here they follow from the URL."""
        url = self._settings.repository.url
        return {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, url)),
            "deploymentName": PurePosixPath(url.rstrip("/")).name.removesuffix(".git"),
        }

    @cached_property
    def _package(self) -> str:
        return fingerprint.of_package(FILES.parent)

    def _overrides(self, host: HostName) -> HostSettings:
        return self._hosts.get(host, HostSettings())

    def _ask(self, file: str, arguments: Arguments, subject: Subject) -> Any:  # noqa: ANN401 -- JSON
        """Return the value of one of our Nix files; EvaluationError, CommandError."""
        try:
            answer = self._nix.evaluate(file, arguments)
        except CommandError as error:
            raise explained(
                error, subject, again=lambda: self._trace(file, arguments)
            ) from error
        try:
            return json.loads(answer)
        except ValueError as error:
            message = f"Nix's answer is not JSON: {error}"
            raise EvaluationError(message, host=subject.host) from error

    def _trace(self, file: str, arguments: Arguments) -> str:
        """Return what Nix says with ``--show-trace`` of an evaluation that fails."""
        try:
            self._nix.evaluate(file, arguments, show_trace=True)
        except CommandError as error:
            return error.stderr
        return ""


def _where(checkout: Path, found: layout.Found) -> Arguments:
    if isinstance(found, layout.NetworkFiles):
        kind, sources = "nixops", json.dumps(found.files)
    else:
        kind, sources = (
            "hosts",
            json.dumps([_source(*p) for p in found.patterns.items()]),
        )
    return {"checkout": str(checkout.absolute()), "layout": kind, "sources": sources}


def _source(pattern: str, names: tuple[HostName, ...]) -> dict[str, object]:
    prefix, suffix = layout.split(pattern)
    return {"prefix": prefix, "suffix": suffix, "names": names}
