"""What a sender does with a disk that takes nothing and with a target that refuses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import DeliveryError, StateError
from reconciler.history import History
from reconciler.history.outbox import Outbox
from reconciler.messages import Kind, Letter, Mark, MarkState, Message, Telling
from reconciler.model import CommitId
from reconciler.notify.channel import Channel
from reconciler.notify.forges import Answer, Request
from reconciler.notify.mark_sender import MarkSender
from reconciler.notify.senders import REFUSED, LetterSender
from reconciler.notify.words import Text
from reconciler.settings import NotifyTarget, StatusTarget

PHONE = NotifyTarget.model_validate({"name": "phone", "url": "json://localhost"})


class Disk:
    """An outbox in a real database, whose disk can be full."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.full = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever it has
        act = getattr(self.outbox, name)
        writes = name not in {"waiting", "backlog", "waiting_marks", "mark_backlog"}

        def guarded(*args: object, **named: object) -> object:
            if self.full and writes:
                message = "history.sqlite: the disk is full"
                raise StateError(message)
            return act(*args, **named)

        return guarded


class Phone:
    """A target that accepts what it likes, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.got: list[str] = []
        self.tried: list[tuple[float, str]] = []
        self.refuses: Callable[[str], bool] = lambda _body: False

    def send(self, text: Text) -> None:
        """Accept a message, or refuse it."""
        self.tried.append((self.now, text.body))
        if self.refuses(text.body):
            message = "400: bad request"
            raise DeliveryError(message)
        self.got.append(text.body)

    def hears(self, key: str) -> int:
        """Return how often it was given the message *key*."""
        return sum(key in body for body in self.got)


class Meter:
    """Counts what became of messages."""

    def __init__(self) -> None:
        self.counts: list[tuple[str, str]] = []

    def notified(self, kind: str, result: str) -> None:
        """Hear what became of a message."""
        self.counts.append((kind, result))

    def notifications_wait(self, *_: object) -> None:
        """Hear of the backlog."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    history = History.open(tmp_path / "history.sqlite")
    yield Disk(history.outbox)
    history.close()


@pytest.fixture
def phone(monkeypatch: pytest.MonkeyPatch) -> Phone:
    phone = Phone()
    monkeypatch.setattr(Channel, "send", lambda _self, text: phone.send(text))
    monkeypatch.setattr(Channel, "check", lambda _self: None)
    monkeypatch.setattr("random.random", lambda: 1.0)
    return phone


@pytest.fixture
def sender(disk: Disk, phone: Phone) -> LetterSender:
    return LetterSender(PHONE, disk, Meter(), lambda: phone.now, window=0.0)


def tell(disk: Disk, phone: Phone, *keys: str, kind: Kind = Kind.HEALED) -> None:
    for key in keys:
        message = Message(key=key, kind=kind, at=phone.now, host=key, text=f"<{key}>")
        letter = Letter(target="phone", message=message)
        disk.outbox.tell(key, lambda _, one=letter: Telling(told="{}", letters=(one,)))


def run(sender: LetterSender | MarkSender, phone: Phone, seconds: float) -> None:
    """Let time pass as the thread does: as long as a turn says, 5 s at most."""
    end = phone.now + seconds
    while phone.now < end:
        phone.now += min(5.0, sender.turn()) or 0.01


def test_what_was_delivered_is_not_sent_again_while_the_disk_is_full(
    disk: Disk, phone: Phone, sender: LetterSender
) -> None:
    tell(disk, phone, "lufta")
    disk.full = True

    run(sender, phone, 3600)

    assert phone.hears("<lufta>") == 1
    assert disk.backlog("phone").waiting == 1
    tell(disk, phone, "keanu", kind=Kind.BACK)
    run(sender, phone, 60)
    assert phone.hears("<keanu>") == 1, "what is new is told all the same"
    disk.full = False
    run(sender, phone, 10)
    assert disk.backlog("phone").waiting == 0
    assert (phone.hears("<lufta>"), phone.hears("<keanu>")) == (1, 1)


def test_a_target_that_is_away_is_not_asked_more_often_while_the_disk_is_full(
    disk: Disk, phone: Phone, sender: LetterSender
) -> None:
    tell(disk, phone, "lufta")
    disk.full, phone.refuses = True, lambda _body: True

    run(sender, phone, 3600)

    assert 5 < len(phone.tried) < 16
    disk.full, phone.refuses = False, lambda _body: False
    run(sender, phone, 1000)
    assert phone.hears("<lufta>") == 1
    assert disk.backlog("phone").waiting == 0


@pytest.mark.parametrize("together", [True, False])
def test_one_message_that_is_refused_for_good_holds_no_other_up(
    disk: Disk,
    phone: Phone,
    sender: LetterSender,
    together: bool,  # noqa: FBT001
) -> None:
    phone.refuses = lambda body: "<evil>" in body
    tell(disk, phone, "evil")
    other = Kind.HEALED if together else Kind.BACK
    tell(disk, phone, "lufta", "keanu", kind=other)

    run(sender, phone, 120)

    assert (phone.hears("<lufta>"), phone.hears("<keanu>")) == (1, 1)
    for hour in range(3):
        tell(disk, phone, f"host{hour}")
        run(sender, phone, 3600)
        assert phone.hears(f"<host{hour}>") == 1
        assert (
            phone.now - next(at for at, body in phone.tried if f"<host{hour}>" in body)
            > 3000
        )
    assert disk.backlog("phone").waiting == 0, "it is given up"
    assert sum("<evil>" in body for _, body in phone.tried) <= REFUSED + 4


def test_nothing_is_given_up_while_a_target_is_away(
    disk: Disk, phone: Phone, sender: LetterSender
) -> None:
    phone.refuses = lambda _body: True
    tell(disk, phone, *(f"host{number}" for number in range(20)))

    run(sender, phone, 7200)

    assert disk.backlog("phone").waiting == 20
    assert len(phone.tried) < 30, "no more than one message that waits"
    phone.refuses = lambda _body: False
    run(sender, phone, 3600)
    assert all(phone.hears(f"<host{number}>") == 1 for number in range(20))
    assert len(phone.got) < 5, "what piled up goes together"


def test_what_is_told_of_one_host_stays_in_order_while_a_target_is_away(
    disk: Disk, phone: Phone, sender: LetterSender
) -> None:
    phone.refuses = lambda _body: True
    for key, kind in (("gone", Kind.UNREACHABLE), ("back", Kind.BACK)):
        message = Message(key=key, kind=kind, at=phone.now, host="lufta", text=key)
        letter = Letter(target="phone", message=message)
        disk.outbox.tell(key, lambda _, one=letter: Telling(told="{}", letters=(one,)))
        run(sender, phone, 600)

    phone.refuses = lambda _body: False
    run(sender, phone, 1200)

    assert ["gone" in body for body in phone.got] == [True, False]


def test_one_message_does_not_hold_up_its_own_host_for_ever_either(
    disk: Disk, phone: Phone, sender: LetterSender
) -> None:
    phone.refuses = lambda body: "evil" in body
    for key, kind in (("evil", Kind.UNREACHABLE), ("back", Kind.BACK)):
        message = Message(key=key, kind=kind, at=phone.now, host="lufta", text=key)
        letter = Letter(target="phone", message=message)
        disk.outbox.tell(key, lambda _, one=letter: Telling(told="{}", letters=(one,)))

    run(sender, phone, 3 * 3600)

    assert phone.hears("back") == 1
    assert disk.backlog("phone").waiting == 0


def test_a_commit_status_is_set_once_while_the_disk_is_full(
    disk: Disk, phone: Phone, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken")
    forge = StatusTarget.model_validate(
        {"provider": "github", "repository": "me/x", "token_file": str(token)}
    )
    asked: list[Request] = []

    def post(request: Request) -> Answer:
        asked.append(request)
        return Answer(status=201, headers={}, text="")

    sender = MarkSender(forge, disk, Meter(), lambda: phone.now, post=post)
    commit = CommitId("a" * 40)
    mark = Mark(commit=commit, state=MarkState.PENDING, text="on its way")
    disk.outbox.mark(forge.name, commit, lambda _: mark, phone.now)
    disk.full = True
    run(sender, phone, 600)
    assert len(asked) == 1

    disk.full = False
    done = Mark(commit=commit, state=MarkState.SUCCESS, text="on 1 host")
    disk.outbox.mark(forge.name, commit, lambda _: done, phone.now)
    run(sender, phone, 600)

    assert len(asked) == 2
    assert disk.mark_backlog(forge.name).waiting == 0
