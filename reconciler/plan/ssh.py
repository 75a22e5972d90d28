"""
Whether a system would still let us in over SSH, as far as its commit says.

Only told: who knows what stands between, a port that is forwarded or a key that
somebody put there by hand. A system that nobody can reach is not kept; this says
beforehand that it looks so, and afterwards what explains it.
"""

from collections.abc import Iterator

from reconciler.model import Desired, SshServer, Target

_NO_ROOT = ("no", "forced-commands-only")


def ssh_warnings(desired: Desired, former: Desired | None) -> tuple[str, ...]:
    """
    Return what of *desired* may keep us out; *former* is what the host was before.

    What was so before as well is not told: it did not keep us out.
    """
    new = desired.ssh
    if new is None or desired.target.local:
        return ()
    if not new.enabled:
        return ("it has no SSH server: services.openssh.enable is false",)
    old = None if former is None else former.ssh
    if former is None or old is None or not old.enabled:
        return tuple(_obstacles(desired.target, new))
    before = set(_obstacles(former.target, old))
    told = [one for one in _obstacles(desired.target, new) if one not in before]
    return (*told, *_lost(desired, new, old))


def _obstacles(target: Target, ssh: SshServer) -> Iterator[str]:
    """Yield what of *ssh* stands in the way by which *target* leads."""
    if ssh.ports and target.port not in ssh.ports:
        ports = ", ".join(map(str, ssh.ports))
        yield f"its SSH server is at port {ports}, and we come to port {target.port}"
    closed = ssh.open_ports is not None and not set(ssh.ports) & set(ssh.open_ports)
    if ssh.ports and closed:
        ports = ", ".join(map(str, ssh.ports))
        yield f"its firewall does not open port {ports} of its SSH server"
    if target.user not in ssh.logins:
        yield f"it declares no user {target.user!r}, as whom we come"
    if target.user == "root" and ssh.root_login in _NO_ROOT:
        yield f"PermitRootLogin is {ssh.root_login}, and we come as root"


def _lost(desired: Desired, new: SshServer, former: SshServer) -> Iterator[str]:
    """Yield what *former* had and *new* has not."""
    user = desired.target.user
    gone = set(former.logins.get(user, ())) - set(new.logins.get(user, ()))
    if gone and user in new.logins:
        yield f"it takes away keys that let {user} in: {', '.join(sorted(gone))}"
    if set(former.host_keys) - set(new.host_keys):
        yield (
            "it has other host keys (services.openssh.hostKeys); record the new one"
            f" beforehand: reconciler trust {desired.host} --next KEY"
        )
