"""What our Nix files say: asked of Nix, or answered from what it said before."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.desired.circumstances import Circumstances
from reconciler.desired.failures import Subject, explained
from reconciler.desired.kept import Kept, Question
from reconciler.desired.nix import Heard, Nix
from reconciler.desired.reading import Arguments, Reading
from reconciler.errors import CommandError, EvaluationError
from reconciler.model import HostName

ANSWERS_KEPT = 50


class Asking:
    """Asks Nix; may be used by many threads."""

    def __init__(self, nix: Nix, around: Circumstances, kept: Kept) -> None:
        self._nix = nix
        self._around = around
        self._kept = kept
        self._answers: Mapping[tuple[str, str, int, int], object] = {}
        self._lock = threading.Lock()

    def ask(
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
                refused=lambda said: self._nix.cage.refusal(
                    said, reading.checkout, reading.host
                ),
            ) from error
        try:
            return json.loads(answer)
        except ValueError as error:
            message = f"Nix's answer is not JSON: {error}"
            raise EvaluationError(message, host=subject.host) from error

    def ask_again(
        self,
        file: str,
        sketch: Reading,
        *,
        whole: Callable[[], Reading] | None = None,
        host: HostName | None = None,
    ) -> Any:  # noqa: ANN401 -- JSON
        """
        Do as `ask`, without Nix where nothing differs that it looked at before.

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
        value = self.ask(file, arguments, subject, hear=heard.append)
        again = asked(reading, fresh=True)
        self._kept.keep(question, heard[0], json.dumps(value), again=again)
        return value

    def ask_file(self, file: str, checkout: Path, name: str) -> object:
        """Return what one of our files says of the file *name*, asked once for each."""
        path = (checkout / name).absolute()
        status = path.stat()
        known = (file, str(path), status.st_ino, status.st_mtime_ns)
        if known not in self._answers:
            reading = Reading(checkout=checkout, arguments={"file": str(path)})
            answer = self.ask_again(file, reading)
            with self._lock:
                newest = list(self._answers.items())[-ANSWERS_KEPT:]
                self._answers = {**dict(newest), known: answer}
        return self._answers[known]

    def _trace(self, file: str, arguments: Arguments, reading: Reading) -> str:
        """Return what Nix says with ``--show-trace`` of an evaluation that fails."""
        try:
            self._nix.evaluate(file, arguments, reading=reading, show_trace=True)
        except CommandError as error:
            return error.stderr
        return ""
