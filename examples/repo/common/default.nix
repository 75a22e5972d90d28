# What every machine has.
{ pkgs, ... }:

{
  imports = [ ./services ];

  # Our own programs, as pkgs.within.<name>.
  nixpkgs.config.packageOverrides = pkgs: {
    within = import ../pkgs { inherit pkgs; };
  };

  time.timeZone = "UTC";

  services.openssh.enable = true;

  # `withinbot ask` talks to the bot from a shell on the machine.
  environment.systemPackages = [ pkgs.within.withinbot ];
}
