"""Where commits come from: the mirror of the watched repository, and its watcher."""

from reconciler.printable import shown
from reconciler.settings import local_path
from reconciler.source.checkout import notes_of
from reconciler.source.command import LOOK_DEADLINE
from reconciler.source.git import Mirror
from reconciler.source.network import SshServer, ssh_server
from reconciler.source.signatures import Flaw, UnusableError
from reconciler.source.watch import FileWatcher, FolderWatcher, Watcher

__all__ = [
    "LOOK_DEADLINE",
    "FileWatcher",
    "Flaw",
    "FolderWatcher",
    "Mirror",
    "SshServer",
    "UnusableError",
    "Watcher",
    "local_path",
    "notes_of",
    "shown",
    "ssh_server",
]
