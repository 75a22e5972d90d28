"""``reconciler.yaml`` as frozen values. Its reference is ``docs/settings.md``."""

from reconciler.settings.changes import Change, change
from reconciler.settings.git_values import local_path
from reconciler.settings.hosts import Build, HostSettings, ReportSettings, Transport
from reconciler.settings.load import load
from reconciler.settings.schema import (
    CacheSettings,
    Cage,
    Layout,
    NixSettings,
    OverlaySettings,
    PolicySettings,
    RepositorySettings,
    SecretsSettings,
    Settings,
    SshSettings,
    StateSettings,
    VerifySettings,
)
from reconciler.settings.serving import (
    SOURCEHUT_KEY,
    ApiSettings,
    HttpSettings,
    MetricsSettings,
    PushSettings,
    Role,
    Sender,
    TokenSettings,
    WebhookSettings,
)
from reconciler.settings.telling import (
    FlapSettings,
    NotifySettings,
    NotifyTarget,
    Provider,
    StatusTarget,
)

__all__ = [
    "SOURCEHUT_KEY",
    "ApiSettings",
    "Build",
    "CacheSettings",
    "Cage",
    "Change",
    "FlapSettings",
    "HostSettings",
    "HttpSettings",
    "Layout",
    "MetricsSettings",
    "NixSettings",
    "NotifySettings",
    "NotifyTarget",
    "OverlaySettings",
    "PolicySettings",
    "Provider",
    "PushSettings",
    "ReportSettings",
    "RepositorySettings",
    "Role",
    "SecretsSettings",
    "Sender",
    "Settings",
    "SshSettings",
    "StateSettings",
    "StatusTarget",
    "TokenSettings",
    "Transport",
    "VerifySettings",
    "WebhookSettings",
    "change",
    "load",
    "local_path",
]
