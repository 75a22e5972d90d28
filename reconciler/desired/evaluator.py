"""Desired states of hosts, asked of Nix."""

import json
import platform
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.desired import (
    amiss,
    build,
    fetched,
    flake,
    layout,
    outside,
    prebuilt,
    selection,
    texts,
    twins,
)
from reconciler.desired.build import Way
from reconciler.desired.cage import FILES
from reconciler.desired.circumstances import Circumstances
from reconciler.desired.codec import Where, from_nix, to_json
from reconciler.desired.failures import Subject, explained
from reconciler.desired.ground import TREE, Ground
from reconciler.desired.kept import Kept, Question
from reconciler.desired.nix import Heard, Mode, Nix, hear_nothing
from reconciler.desired.platforms import Platforms
from reconciler.desired.reading import Arguments, Reading
from reconciler.desired.spared import Memory
from reconciler.desired.told import arguments_for
from reconciler.errors import (
    BuildError,
    CommandError,
    EvaluationError,
    LayoutError,
    UnknownHostError,
)
from reconciler.model import Commit, Desired, HostName
from reconciler.settings import HostSettings, Settings

PIN_FILES = ("npins/default.nix", "nix/sources.nix", "lon.nix")
"""What npins, niv and lon write: a set of what is pinned, by name."""

ANSWERS_KEPT = 50

LAYOUTS_KEPT = 8

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
        overlays: Callable[[], str] = lambda: "",
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
        self._trees = flake.Trees()
        self._notes = fetched.Notes()
        self._answers: Mapping[tuple[str, str, int, int], object] = {}
        self._lock = threading.Lock()
        self._around = Circumstances(settings, self._nix, overlays)
        self._kept = Kept(memory, self._around.outside, self._nix.options())
        self._layouts: Mapping[tuple[Path, str], layout.Found] = {}

    def override(self, hosts: Mapping[str, HostSettings]) -> None:
        """Override what commits say of *hosts*, from the next evaluation on."""
        self._around.hosts = hosts

    def hosts(self, checkout: Path) -> tuple[HostName, ...]:
        """Return the hosts of *checkout*, sorted; LayoutError, EvaluationError."""
        found = self._found(checkout)
        amiss.refuse_links(found, checkout)
        sketch = self._reading(checkout, found, of_any_commit=True)
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
        found = self._found(checkout)
        told = layout.why(found)
        if not isinstance(found, layout.Flake):
            return told
        sketch = self._reading(checkout, found, of_any_commit=True)
        others = self._listed(checkout, found, sketch)["others"]
        return "; ".join(filter(None, (told, amiss.not_served(others))))

    def unchanged(self, checkout: Path, host: HostName) -> tuple[str, tuple[str, ...]]:
        """
        Return the key of an evaluation of *host* that is the same for *checkout*.

        Nothing that it looked at differs. Else the key is empty, and there is why.
        Raises what `evaluate` raises, of the layout.
        """
        found = self._found(checkout)
        if isinstance(found, layout.Paths):
            return "", (OF_PATHS,)
        reading = self._reading(checkout, found, of_any_commit=True)
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
        found = self._found(checkout)
        where = Where(
            overrides=self._around.overrides(host), rule=self._settings.ssh.address
        )
        if isinstance(found, layout.Paths):
            return prebuilt.evaluate(
                self._nix, checkout / found.file, host, self._called(host), where
            )
        reading = self._reading(checkout, found)
        arguments = {**reading.arguments, **self._of_host(host)}
        subject = Subject(reading=reading, host=host)
        heard: list[Heard] = []

        def asked() -> Question:
            return self._around.question(
                reading, "host.nix", arguments, host=host, fresh=True
            )

        question = asked() if key else None
        facts = self._ask("host.nix", arguments, subject, hear=heard.append)
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
        reading = self._reading(checkout, self._found(checkout))
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
        is_flake = isinstance(self._found(checkout), layout.Flake)
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
        """Return which hosts there are, and what else; raises what `_ask` raises."""
        return self._ask_again(
            "hosts.nix", sketch, whole=lambda: self._reading(checkout, found)
        )

    def _made_of(
        self, checkout: Path, found: layout.Found, sketch: Reading, node: HostName
    ) -> str | None:
        """Return what *node* of deploy-rs deploys; raises what `_ask` raises."""
        answer: str | None = self._ask_again(
            "made-of.nix",
            sketch,
            whole=lambda: self._reading(checkout, found),
            host=node,
        )
        return answer

    def _found(self, checkout: Path) -> layout.Found:
        if not (checkout.parent / TREE).exists():  # it may be another one at any time
            return self._find(checkout)
        key = (checkout, self._around.overlays())
        if key not in self._layouts:
            found = self._find(checkout)
            with self._lock:
                newest = list(self._layouts.items())[-LAYOUTS_KEPT:]
                self._layouts = {**dict(newest), key: found}
        return self._layouts[key]

    def _find(self, checkout: Path) -> layout.Found:
        repository = self._settings.repository
        return layout.find(
            checkout, repository, lambda name: self._is_network(checkout, name)
        )

    def _is_network(self, checkout: Path, name: str) -> bool:
        """Ask whether a file is a network; one that fails is, so that this is told."""
        try:
            return self._ask_file("is-network.nix", checkout, name) is True
        except EvaluationError:
            return True

    def _ask_file(self, file: str, checkout: Path, name: str) -> object:
        """Return what one of our files says of the file *name*, asked once for each."""
        path = (checkout / name).absolute()
        status = path.stat()
        known = (file, str(path), status.st_ino, status.st_mtime_ns)
        if known not in self._answers:
            reading = Reading(checkout=checkout, arguments={"file": str(path)})
            answer = self._ask_again(file, reading)
            with self._lock:
                newest = list(self._answers.items())[-ANSWERS_KEPT:]
                self._answers = {**dict(newest), known: answer}
        return self._answers[known]

    def _reading(
        self, checkout: Path, found: layout.Found, *, of_any_commit: bool = False
    ) -> Reading:
        """
        Return how *checkout* is read.

        Of a flake *of_any_commit*, only what does not depend on which one it is: with
        that nothing can be evaluated, but it takes no Nix.
        """
        layout.refuse_settings(found, self._settings.repository)
        self._nix.cage.require_for_mount()
        if isinstance(found, layout.Flake):
            return self._flake(checkout, found, whole=not of_any_commit)
        if isinstance(found, layout.Paths):
            prebuilt_hosts = prebuilt.hosts(checkout / found.file)
            return Reading(checkout=checkout, hosts=prebuilt_hosts)
        names = found.hosts if isinstance(found, layout.HostFolders) else None
        seen_at = self._settings.repository.mount_at
        return Reading(
            checkout=checkout,
            # Where its files import each other: else some would be there twice.
            arguments=arguments_for(
                seen_at or checkout, found, self._settings.repository
            ),
            copy=str(seen_at or ""),
            hosts=names,
            mode=Mode(pins=self._pins(checkout)),
        )

    def _flake(self, checkout: Path, found: layout.Flake, *, whole: bool) -> Reading:
        """
        Return how to read a flake. Raises LayoutError where secrets would be copied.

        Nix copies the whole tree to the store, where every user may read it.
        """
        if self._settings.repository.secrets:
            message = (
                "repository.secrets lies files over the checkout, and Nix copies all of"
                " a flake into the store, where everybody may read them: take it out,"
                " and declare such files as deployment.keys or with sops-nix or agenix"
            )
            raise LayoutError(message)
        options = tuple(self._nix.options())
        lock = checkout / found.folder / layout.LOCK_FILE
        told = {
            "folder": found.folder,
            "system": f"{platform.machine()}-linux",
            "replaced": self._replaced(options),
        }
        reading = Reading(
            checkout=checkout,
            arguments={
                "checkout": str(checkout.absolute()),
                "layout": "flake",
                "sources": json.dumps(told),
            },
            lock=lock,
            mode=Mode(flakes=True),
        )
        if not whole:
            return reading
        tree = self._trees.add(checkout, options)
        package = ""
        if self._settings.repository.pure:
            package = self._trees.add(FILES, options, stamp=self._around.package).hash
        followed = flake.is_followed(lock)
        is_ours = followed or self._settings.nix.inputs
        sources = {
            **told,
            "url": tree.reference(checkout, found.folder),
            "tree": tree.fetched(checkout),
            "followed": followed,
            "stored": flake.stored(lock) if is_ours else {},
        }
        return replace(
            reading,
            arguments={**reading.arguments, "sources": json.dumps(sources)},
            copy=tree.path,
            fetched=None if self._kept.problem else self._notes.of(tree, options),
            mode=Mode(flakes=True, package=package),
        )

    def _replaced(self, options: tuple[str, ...]) -> dict[str, object]:
        """Return what is known of each tree that the settings put in place of one."""
        return {
            name: self._trees.add_input(name, place, options).known
            if isinstance(place, Path)
            else place
            for name, place in self._settings.nix.inputs.items()
        }

    def _pins(self, checkout: Path) -> tuple[str, ...]:
        """Return what the repository pins `<nixpkgs>` to, unless the settings do."""
        if any(entry.startswith("nixpkgs=") for entry in self._settings.nix.path):
            return ()
        file = next((f for f in PIN_FILES if (checkout / f).is_file()), None)
        if file is None:
            return ()
        place = self._ask_file("pinned.nix", checkout, file)
        return (f"nixpkgs={place}",) if place else ()

    def _ask_again(
        self,
        file: str,
        sketch: Reading,
        *,
        whole: Callable[[], Reading] | None = None,
        host: HostName | None = None,
    ) -> Any:  # noqa: ANN401 -- JSON
        """
        Do as `_ask`, without Nix where nothing differs that it looked at before.

        *whole* is how it is read where that takes more than *sketch*. With *host* it
        is about that one.
        """
        about = {} if host is None else {"host": host}

        def asked(reading: Reading, *, fresh: bool) -> Question:
            return self._around.question(
                reading, file, {**reading.arguments, **about}, host=None, fresh=fresh
            )

        text = self._kept.answer(asked(sketch, fresh=False))
        if text is not None:
            return json.loads(text)
        reading = whole() if whole else sketch
        heard: list[Heard] = []
        question = asked(reading, fresh=True)
        subject = Subject(reading=reading, host=host)
        arguments = {**reading.arguments, **about}
        value = self._ask(file, arguments, subject, hear=heard.append)
        again = asked(reading, fresh=True)
        self._kept.keep(question, heard[0], json.dumps(value), again=again)
        return value

    def _ask(
        self,
        file: str,
        arguments: Arguments,
        subject: Subject,
        *,
        hear: Callable[[Heard], None] | None = None,
    ) -> Any:  # noqa: ANN401 -- JSON
        """Return the value of one of our Nix files; EvaluationError, CommandError."""
        reading = subject.reading
        try:
            answer = self._nix.evaluate(file, arguments, reading=reading, hear=hear)
        except CommandError as error:
            raise explained(
                error,
                subject,
                again=lambda: self._trace(file, arguments, reading),
                refused=lambda said: self._nix.cage.refusal(said, reading.checkout),
            ) from error
        try:
            return json.loads(answer)
        except ValueError as error:
            message = f"Nix's answer is not JSON: {error}"
            raise EvaluationError(message, host=subject.host) from error

    def _trace(self, file: str, arguments: Arguments, reading: Reading) -> str:
        """Return what Nix says with ``--show-trace`` of an evaluation that fails."""
        try:
            self._nix.evaluate(file, arguments, reading=reading, show_trace=True)
        except CommandError as error:
            return error.stderr
        return ""
