"""A host that says of what it sends that it is longer than our memory."""

import os
import resource
import stat
import sys
from pathlib import Path

import pytest

from reconciler.errors import CopyError
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote.copying import MEMORY, copy_closure
from tests.adapters.test_space import add

pytestmark = pytest.mark.nix

HOSTILE = f"""#!{sys.executable}
# Speaks as `nix-store --serve` does, up to the answer which paths there are: one, whose
# name is of two and a half thousand million bytes.
import os, struct
told = struct.pack("<QQQQ", 0x5452EECB, 0x206, 1, 2_500_000_000)
os.write(1, told)
while os.read(0, 65536):
    pass
"""


def test_a_length_from_a_host_does_not_take_our_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(HOSTILE)
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    system = add(tmp_path, 100)
    desired = Desired(
        host=HostName("lufta"),
        toplevel=system,
        derivation=StorePath(f"{system}.drv"),
        units={},
        target=Target(address="127.0.0.1"),
    )

    with pytest.raises(CopyError, match=r"bad_alloc|memory"):
        copy_closure(desired, config=tmp_path / "ssh_config", deadline=30)

    taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert taken < MEMORY
