"""Desired states of hosts, asked of Nix."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.desired import (
    amiss,
    build,
    layout,
    outside,
    prebuilt,
    selection,
    texts,
    twins,
)
from reconciler.desired.asking import Asking
from reconciler.desired.build import Way
from reconciler.desired.cage import FILES
from reconciler.desired.circumstances import Circumstances, Overlaid
from reconciler.desired.codec import Where, from_nix, to_json
from reconciler.desired.failures import Subject
from reconciler.desired.ground import Ground
from reconciler.desired.kept import Kept, Question
from reconciler.desired.nix import Heard, Nix, hear_nothing
from reconciler.desired.platforms import Platforms
from reconciler.desired.reading import Arguments, Reading
from reconciler.desired.readings import Readings
from reconciler.desired.spared import Memory
from reconciler.errors import (
    BuildError,
    UnknownHostError,
)
from reconciler.model import Commit, Desired, HostName
from reconciler.settings import HostSettings, Settings

OF_PATHS = "systems that are built already are not evaluated, but read"

COLLECTIONS = 3
"""Times that garbage collection may come between evaluating and building."""


class Evaluator:
    """
    Asks Nix what a checkout says its hosts should be; may be used by many threads.

    As many evaluations run at once as cores and memory allow; others wait
    (`reconciler.desired.memory`).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        overlays: Overlaid = lambda _places: "",
        trusted: bool = True,
        memory: Memory | None = None,
    ) -> None:
        """
        Take *overlays*, which tells what lies over each checkout just now.

        What is not *trusted* is evaluated without our environment. Without *memory*
        nothing is spared.
        """
        self._settings = settings
        sizes = memory.sizes() if memory else None
        self._nix = Nix(settings, trusted=trusted, sizes=sizes)
        self._platforms = Platforms(self._nix)
        self._around = Circumstances(settings, self._nix, overlays)
        self._kept = Kept(memory, self._around.outside, self._nix.options())
        self._asking = Asking(self._nix, self._around, self._kept)
        self._readings = Readings(
            settings, self._nix, self._around, self._kept, self._asking
        )

    def override(self, hosts: Mapping[str, HostSettings]) -> None:
        """Override what commits say of *hosts*, from the next evaluation on."""
        self._around.hosts = hosts

    def hosts(self, checkout: Path) -> tuple[HostName, ...]:
        """Return the hosts of *checkout*, sorted; LayoutError, EvaluationError."""
        found = self._readings.layout_of(checkout)
        amiss.refuse_links(found, checkout)
        sketch = self._readings.of(checkout, found, of_any_commit=True)
        names = sketch.hosts
        hidden: Collection[HostName] = ()
        if names is None:
            known = self._listed(checkout, found, sketch)
            names = known["names"]
            # A network or hive may be empty: a guard asks before all hosts go.
            if not names and isinstance(found, layout.Flake):
                raise amiss.no_hosts(found, checkout, known["others"])
            hidden = twins.deployed_otherwise(
                known["unpaired"],
                self._settings.repository,
                lambda node: self._made_of(checkout, found, sketch, node),
            )
        chosen = selection.select(
            sorted(map(layout.check_name, names)), self._settings.repository, hidden
        )
        return tuple(chosen)

    def why(self, checkout: Path) -> str:
        """
        Return what *checkout* is taken for, and what is not served, for people.

        Raises LayoutError, EvaluationError, CommandError.
        """
        found = self._readings.layout_of(checkout)
        told = layout.why(found)
        if not isinstance(found, layout.Flake):
            return told
        sketch = self._readings.of(checkout, found, of_any_commit=True)
        others = self._listed(checkout, found, sketch)["others"]
        return "; ".join(filter(None, (told, amiss.not_served(others))))

    def unchanged(self, checkout: Path, host: HostName) -> tuple[str, tuple[str, ...]]:
        """
        Return the key of an evaluation of *host* that is the same for *checkout*.

        Nothing that it looked at differs. Else the key is empty, and there is why.
        Raises what `evaluate` raises, of the layout.
        """
        found = self._readings.layout_of(checkout)
        if isinstance(found, layout.Paths):
            return "", (OF_PATHS,)
        reading = self._readings.of(checkout, found, of_any_commit=True)
        arguments = {**reading.arguments, **self._of_host(host)}
        question = self._around.question(reading, "host.nix", arguments, host=host)
        return self._kept.unchanged(question)

    def evaluate(
        self,
        checkout: Path,
        host: HostName,
        *,
        key: str = "",
        hear: Callable[[Heard], None] = hear_nothing,
    ) -> Desired:
        """
        Return what *checkout* says *host* should be.

        With the *key* under which the answer is kept, what it looked at is remembered
        for `unchanged`. *hear* is told what it took. Raises LayoutError,
        UnknownHostError, EvaluationError with host and, where Nix
        names one, file and line; CommandError if this machine is to blame.
        """
        found = self._readings.layout_of(checkout)
        where = Where(
            overrides=self._around.overrides(host), rule=self._settings.ssh.address
        )
        if isinstance(found, layout.Paths):
            return prebuilt.evaluate(
                self._nix, checkout / found.file, host, self._called(host), where
            )
        reading = replace(self._readings.of(checkout, found), host=host)
        arguments = {**reading.arguments, **self._of_host(host)}
        subject = Subject(reading=reading, host=host)
        heard: list[Heard] = []

        def asked() -> Question:
            return self._around.question(
                reading, "host.nix", arguments, host=host, fresh=True
            )

        question = asked() if key else None
        facts = self._asking.ask("host.nix", arguments, subject, hear=heard.append)
        if "known" in facts:
            raise UnknownHostError(host, known=facts["known"])
        desired = replace(
            from_nix(host, facts, where, roots=reading.roots),
            outside=self._outside(heard[0], reading),
        )
        hear(heard[0])
        if question is not None:
            self._kept.keep(
                question,
                heard[0],
                to_json(desired),
                again=asked(),
                key=key,
                read_here={secret["file"] for secret in facts["secrets"]},
            )
        return desired

    def _outside(self, heard: Heard, reading: Reading) -> Mapping[str, str]:
        """Return what an evaluation read that its commit does not pin."""
        if reading.mode.package:
            return {}  # a pure one reads nothing else
        return outside.inputs(
            heard.trace,
            Ground(reading.checkout, copy=reading.copy),
            self._around.search_path,
            ours=FILES,
        )

    def key_texts(
        self, checkout: Path, host: HostName, names: Sequence[str]
    ) -> dict[str, bytes]:
        """
        Return the ``text`` of the keys *names* of *host*: secrets.

        Asked of Nix apart from all else, and written nowhere. Raises KeyContentError,
        which quotes a file's name at most, if any of them cannot be had; CommandError
        if this machine is to blame. Then asking for fewer may help.
        """
        found = self._readings.layout_of(checkout)
        reading = replace(self._readings.of(checkout, found), host=host)
        arguments = {**reading.arguments, **self._of_host(host)}
        arguments["names"] = json.dumps(sorted(names))
        return texts.ask(self._nix, arguments, reading)

    def build(
        self,
        desired: Desired,
        *,
        root: Path,
        checkout: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """
        Build *desired*, keep it by the symlink *root*, give Nix's words to *on_line*.

        Nothing keeps a derivation from garbage collection until it is built: one that
        is gone is made again from *checkout*, where *desired* comes from. Raises
        BuildError with the name of what failed and the end of its log, and what
        `evaluate` raises.
        """
        for _ in range(COLLECTIONS):
            try:
                build.realise(self._nix, desired, root=root, on_line=on_line)
            except build.CollectedError:
                if checkout is None:
                    raise
                self._evaluate_again(desired, checkout)
            else:
                return
        build.realise(self._nix, desired, root=root, on_line=on_line)

    def cannot_build(self, desired: Desired) -> str:
        """Return why *desired* cannot be built where it is to be; empty: it may be."""
        if desired.build_on_host or Path(desired.toplevel).exists():
            return ""
        return self._platforms.missing(desired.platform)

    def have_derivation(self, desired: Desired, checkout: Path | None) -> None:
        """
        Have the derivation of *desired* in our store, made again from *checkout*.

        And that of the programs which its checks run here. Raises BuildError if it is
        gone and cannot be, and what `evaluate` raises.
        """
        needed = [Path(one) for one in (desired.derivation, desired.programs) if one]
        if checkout is not None and not all(path.exists() for path in needed):
            self._evaluate_again(desired, checkout)

    def build_there(
        self,
        desired: Desired,
        way: Way,
        *,
        root: str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """
        Have the host of *desired*, which has the derivation, build it, within our time.

        It is kept there by the link *root*. Raises BuildError as `build` does, and what
        reading from the host raises.
        """
        deadline = self._settings.nix.build_timeout
        build.realise_there(way, desired, root=root, deadline=deadline, on_line=on_line)

    def _evaluate_again(self, desired: Desired, checkout: Path) -> None:
        """Have the derivation of *desired* in the store again."""
        again = self.evaluate(checkout, desired.host)
        if again.derivation != desired.derivation:
            message = (
                f"{desired.derivation} was garbage-collected, and evaluates to"
                f" {again.derivation} now: something that is not in the repository has"
                " changed; the next look takes what it is now"
            )
            raise BuildError(message, host=desired.host)

    def identity(self, commit: Commit, checkout: Path) -> str:
        """Return what an evaluation of *commit* follows from; see `cache_key`."""
        # A flake sees which commit it is, and when that was made.
        is_flake = isinstance(self._readings.layout_of(checkout), layout.Flake)
        return commit.id if is_flake else commit.tree

    def cache_key(self, tree: str, host: HostName, *, fresh: bool = False) -> str:
        """
        Return what changes whenever ``evaluate`` may return something else.

        What lies outside of the store was looked at a few seconds ago at most; right
        now, if it is to be *fresh*.
        """
        return self._around.key(tree, host, fresh=fresh)

    def _called(self, host: HostName) -> list[HostName]:
        return list(selection.candidates(host, self._settings.repository))

    def _of_host(self, host: HostName) -> Arguments:
        """Return what our Nix files are told of one host."""
        called = json.dumps(self._called(host))
        return {**self._around.identity, "host": host, "called": called}

    # --- reading -----------------------------------------------------------------

    def _listed(self, checkout: Path, found: layout.Found, sketch: Reading) -> Any:  # noqa: ANN401 -- JSON
        """Return which hosts there are, and what else; raises as `Asking.ask`."""
        return self._asking.ask_again(
            "hosts.nix", sketch, whole=lambda: self._readings.of(checkout, found)
        )

    def _made_of(
        self, checkout: Path, found: layout.Found, sketch: Reading, node: HostName
    ) -> str | None:
        """Return what *node* of deploy-rs deploys; raises what `Asking.ask` raises."""
        answer: str | None = self._asking.ask_again(
            "made-of.nix",
            sketch,
            whole=lambda: self._readings.of(checkout, found),
            host=node,
        )
        return answer
