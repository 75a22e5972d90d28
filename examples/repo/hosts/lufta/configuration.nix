# The rented virtual machine.
{
  imports = [
    ./hardware-configuration.nix
    ../../common
  ];

  boot.loader.grub.enable = true;
  boot.loader.grub.device = "/dev/vda";

  networking.hostName = "lufta";

  within.services = {
    withinbot = {
      enable = true;
      name = "luftabot";
      greeting = "You have reached {name}, far away from every printer.";
    };
  };

  system.stateVersion = "23.05";
}
