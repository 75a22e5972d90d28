# The old laptop next to the printer.
{
  imports = [
    ./hardware-configuration.nix
    ../../common
  ];

  boot.loader.systemd-boot.enable = true;
  boot.loader.efi.canTouchEfiVariables = true;

  networking.hostName = "keanu";

  within.services = {
    printerfacts = {
      enable = true;
      port = 8080;
    };
  };

  system.stateVersion = "22.11";
}
