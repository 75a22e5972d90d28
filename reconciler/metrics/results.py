"""How things end, as labels: closed sets."""

import enum


class PassResult(enum.Enum):
    """How a pass ended, under controller-runtime's names."""

    SUCCESS = "success"
    REQUEUE = "requeue"  # something is under way: look again soon
    ERROR = "error"


class KeyResult(enum.Enum):
    """What became of a key that was to be delivered."""

    WRITTEN = "written"  # it has a new content
    PERMITTED = "permitted"  # only its owner or mode was set
    FAILED = "failed"


class Pushed(enum.Enum):
    """What became of a push of these metrics."""

    DELIVERED = "delivered"
    FAILED = "failed"


class Sent(enum.Enum):
    """What became of a message for one target."""

    DELIVERED = "delivered"
    FAILED = "failed"  # a try; the message waits for the next
    DROPPED = "dropped"  # refused for good, or given up
