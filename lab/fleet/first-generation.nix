# What a freshly installed host runs: sshd and nothing else, as nixos-install leaves it.
{
  nixpkgs,
  hostName,
}:

let
  evaluated = import (nixpkgs + "/nixos/lib/eval-config.nix") {
    modules = [
      {
        networking.hostName = hostName;

        services.openssh.enable = true;
        # Tests open many connections to one host at once.
        services.openssh.extraConfig = ''
          MaxStartups 500:30:1000
          MaxSessions 100
        '';

        boot.loader.grub.device = "/dev/vda";
        fileSystems."/" = {
          device = "/dev/vda1";
          fsType = "ext4";
        };
        system.stateVersion = "24.11";
      }
    ];
  };
in
evaluated.config.system.build.toplevel
