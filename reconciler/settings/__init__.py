"""``reconciler.yaml`` as frozen values. Its reference is ``docs/settings.md``."""

from reconciler.settings.changes import Change, change
from reconciler.settings.load import load
from reconciler.settings.schema import (
    SOURCEHUT_KEY,
    ApiSettings,
    FlapSettings,
    HostSettings,
    HttpSettings,
    Layout,
    NixSettings,
    NotifySettings,
    NotifyTarget,
    PolicySettings,
    Provider,
    RepositorySettings,
    Role,
    SecretsSettings,
    Sender,
    Settings,
    SshSettings,
    StatusTarget,
    TokenSettings,
    WebhookSettings,
)
from reconciler.settings.values import local_path

__all__ = [
    "SOURCEHUT_KEY",
    "ApiSettings",
    "Change",
    "FlapSettings",
    "HostSettings",
    "HttpSettings",
    "Layout",
    "NixSettings",
    "NotifySettings",
    "NotifyTarget",
    "PolicySettings",
    "Provider",
    "RepositorySettings",
    "Role",
    "SecretsSettings",
    "Sender",
    "Settings",
    "SshSettings",
    "StatusTarget",
    "TokenSettings",
    "WebhookSettings",
    "change",
    "load",
    "local_path",
]
