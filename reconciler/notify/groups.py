"""Which waiting letters become one delivery. Pure."""

from collections.abc import Sequence

from reconciler.messages import Kind, Message, Waiting


def next_group(waiting: Sequence[Waiting]) -> tuple[Waiting, ...]:
    """
    Return the letters that go together with the first: of its kind and its commit.

    *waiting* are those of one target, in order; empty if there are none. What is told
    of one host stays in order: a letter does not overtake an earlier one of its host.
    """
    if not waiting:
        return ()
    first = waiting[0].message
    group: list[Waiting] = []
    held_up: set[str] = set()
    for letter in waiting:
        message = letter.message
        same = _group_of(message) == _group_of(first)
        if same and message.host not in held_up:
            group.append(letter)
        else:
            held_up.add(message.host)
    return tuple(group)


def opens_in(group: Sequence[Waiting], *, now: float, window: float) -> float:
    """
    Return in how many seconds a group may be sent: *window* after its first message.

    More than that means that the clock was set back, and nothing is to wait for that.
    """
    opens = group[0].message.at + window - now
    return max(opens if opens <= window else 0.0, 0.0)


def _group_of(message: Message) -> tuple[Kind, str, tuple[Kind, ...]]:
    # What ends one bad state must not be taken for the end of another; a deployment
    # is one whether it mended something or not.
    about = () if message.kind is Kind.DEPLOYED else message.about
    return message.kind, message.commit, about
