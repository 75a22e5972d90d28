"""Where commits come from: the mirror of the watched repository, and its watcher."""

from reconciler.settings import local_path
from reconciler.source.git import Mirror
from reconciler.source.watch import FileWatcher, FolderWatcher, Watcher

__all__ = ["FileWatcher", "FolderWatcher", "Mirror", "Watcher", "local_path"]
