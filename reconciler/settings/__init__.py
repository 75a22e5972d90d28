"""``reconciler.yaml`` as frozen values. Its reference is ``docs/settings.md``."""

from reconciler.settings.load import load
from reconciler.settings.schema import (
    HostSettings,
    HttpSettings,
    Layout,
    NixSettings,
    PolicySettings,
    RepositorySettings,
    SecretsSettings,
    Settings,
    SshSettings,
)
from reconciler.settings.values import local_path

__all__ = [
    "HostSettings",
    "HttpSettings",
    "Layout",
    "NixSettings",
    "PolicySettings",
    "RepositorySettings",
    "SecretsSettings",
    "Settings",
    "SshSettings",
    "load",
    "local_path",
]
