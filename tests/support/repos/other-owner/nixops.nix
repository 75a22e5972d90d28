{ domain ? "home.arpa", quiet ? false, ... }:

let
  lib = import <nixpkgs/lib>;
  house = import ./lib { inherit lib; };

  # name -> roles, besides those that all have
  everywhere = [ "base" "inventory" ];
  thick = [ "greeter" "quotes" ];
  machines = {
    attic = thick ++ [ "worker" ];
    cellar = thick ++ [ "backup" ];
  };

  machine = name: roles: { ... }: {
    imports = house.roleFiles ./roles (everywhere ++ roles) ++ [ ./machines/vm.nix ];

    networking.hostName = name;
    networking.domain = domain;
  };
in

lib.mapAttrs machine machines // {
  network = {
    description = "The house";
    enableRollback = true;
  };

  require = [ ./machines/addresses.nix ];

  defaults = { config, ... }: {
    house.greeter.text = lib.mkDefault
      "This is ${config.networking.hostName}.${config.networking.domain}.";
    house.greeter.quiet = quiet;
  };
}
