"""``reconciler.yaml`` as frozen values. Its reference is ``docs/settings.md``."""

from reconciler.settings.load import load
from reconciler.settings.schema import (
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
    SecretsSettings,
    Settings,
    SshSettings,
    StatusTarget,
)
from reconciler.settings.values import local_path

__all__ = [
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
    "SecretsSettings",
    "Settings",
    "SshSettings",
    "StatusTarget",
    "load",
    "local_path",
]
