"""Who is told what. Pure."""

from collections.abc import Iterable

from reconciler.messages import Kind, Letter, Message
from reconciler.settings import NotifyTarget


def letters(
    messages: Iterable[Message], targets: Iterable[NotifyTarget]
) -> tuple[Letter, ...]:
    """Return a letter for every message and every target that wants it."""
    wanted = tuple(targets)
    return tuple(
        Letter(target=target.name, message=message)
        for message in messages
        for target in wanted
        if wants(target, message)
    )


def wants(target: NotifyTarget, message: Message) -> bool:
    """
    Return whether *target* is to hear of *message*.

    Whoever hears of a bad state hears of its end. What is told of the repository has no
    host, and is kept from nobody for that.
    """
    kinds = {message.kind, *message.about}
    if Kind.ROLLED_BACK in kinds:
        kinds.add(Kind.QUARANTINED)  # the one implies the other, and is told alone
    if target.events and not kinds & set(target.events):
        return False
    if not target.hosts or not message.host:
        return True
    names = {message.host, *(f"@{tag}" for tag in message.tags)}
    return bool(names & set(target.hosts))
