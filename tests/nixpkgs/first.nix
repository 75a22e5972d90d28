# What the host of these tests is installed with: what every system of theirs has too.
{ nixpkgs, hostName }:
(import (nixpkgs + "/nixos/lib/eval-config.nix") {
  modules = [
    {
      networking.hostName = hostName;
      services.openssh.enable = true;
    }
  ];
}).config.system.build.toplevel
