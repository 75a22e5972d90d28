# The machine on the shelf: it is always on, so it runs everything.
{
  imports = [
    ./hardware-configuration.nix
    ../../common
  ];

  boot.loader.systemd-boot.enable = true;
  boot.loader.efi.canTouchEfiVariables = true;

  networking.hostName = "chrysalis";

  within.services = {
    printerfacts.enable = true;
    withinbot.enable = true;
  };

  system.stateVersion = "23.05";
}
