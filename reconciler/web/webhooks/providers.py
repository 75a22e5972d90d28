"""What each provider's deliveries look like: names of headers, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.settings import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """
    The headers of one provider, in lower case; of several, the first one counts.

    *events* are those that may mean a new commit. One that we do not know, under a
    header that we do, certainly is another one: issues, comments, a ping.
    """

    signature: tuple[bytes, ...]
    delivery: tuple[bytes, ...] = ()
    event: tuple[bytes, ...] = ()
    events: frozenset[bytes] = frozenset()
    prefix: bytes = b""  # before the hexadecimal digits of the signature


_GITEA_EVENTS = frozenset({b"push", b"create", b"delete"})

DIALECTS: Mapping[Sender, Dialect] = {
    Sender.GITHUB: Dialect(
        signature=(b"x-hub-signature-256",),
        prefix=b"sha256=",
        delivery=(b"x-github-delivery",),
        event=(b"x-github-event",),
        events=frozenset({b"push", b"create", b"delete"}),
    ),
    Sender.GITEA: Dialect(
        signature=(b"x-gitea-signature",),
        delivery=(b"x-gitea-delivery",),
        event=(b"x-gitea-event",),
        events=_GITEA_EVENTS,
    ),
    # Forgejo once sent Gitea's headers only.
    Sender.FORGEJO: Dialect(
        signature=(b"x-forgejo-signature", b"x-gitea-signature"),
        delivery=(b"x-forgejo-delivery", b"x-gitea-delivery"),
        event=(b"x-forgejo-event", b"x-gitea-event"),
        events=_GITEA_EVENTS,
    ),
    Sender.GOGS: Dialect(
        signature=(b"x-gogs-signature",),
        delivery=(b"x-gogs-delivery",),
        event=(b"x-gogs-event",),
        events=_GITEA_EVENTS,
    ),
    # X-Gitlab-Event-UUID is shared by deliveries that follow from one another.
    Sender.GITLAB: Dialect(
        signature=(b"x-gitlab-token",),
        delivery=(b"webhook-id", b"idempotency-key"),
        event=(b"x-gitlab-event",),
        events=frozenset({b"Push Hook", b"Tag Push Hook", b"System Hook"}),
    ),
    # SHA-256 under the name that is SHA-1 elsewhere, in the cloud and in Data Center.
    Sender.BITBUCKET: Dialect(
        signature=(b"x-hub-signature",),
        prefix=b"sha256=",
        delivery=(b"x-request-uuid", b"x-request-id"),
        event=(b"x-event-key",),
        events=frozenset(
            {b"repo:push", b"repo:refs_changed", b"mirror:repo_synchronized"}
        ),
    ),
    # Its old and its new interface name events differently; whoever made the webhook
    # has chosen them.
    Sender.SOURCEHUT: Dialect(
        signature=(b"x-payload-signature",),
        delivery=(b"x-webhook-delivery",),
    ),
    Sender.GENERIC: Dialect(
        signature=(b"x-signature",),
        delivery=(b"x-delivery-id",),
    ),
}
