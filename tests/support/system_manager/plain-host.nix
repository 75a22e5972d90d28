# What a host boots that is not NixOS: Debian, with its own units and files, and Nix. The
# fleet tool takes it for a first generation, and the first boot takes away what is NixOS's.
{
  nixpkgs,
  hostName,
}:
let
  pkgs = import nixpkgs { };
in
pkgs.runCommand "plain-host-${hostName}" { } ''
  mkdir $out
  cat >$out/init <<'INIT'
  #!/bin/sh
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
  if [ -e /etc/NIXOS ]; then
      rm -f /etc/NIXOS /nix/var/nix/profiles/system /nix/var/nix/profiles/system-1-link
      mkdir -p /etc/systemd/system/multi-user.target.wants /etc/ssh/sshd_config.d
      ln -s /lib/systemd/system/ssh.service /etc/systemd/system/sshd.service
      ln -s /lib/systemd/system/ssh.service /etc/systemd/system/multi-user.target.wants/
      # The hosts share the loopback of the machine.
      echo "ListenAddress ${hostName}" >/etc/ssh/sshd_config.d/fleet.conf
      echo "MaxStartups 500:30:1000" >>/etc/ssh/sshd_config.d/fleet.conf
      echo "MaxSessions 100" >>/etc/ssh/sshd_config.d/fleet.conf
  fi
  exec /lib/systemd/systemd "$@"
  INIT
  chmod +x $out/init
''
