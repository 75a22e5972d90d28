{
  description = "A small stand-in for nixpkgs that evaluates and builds offline";

  outputs =
    _:
    let
      lib = import ./lib;
      systems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
    in
    {
      lib = lib // {
        nixosSystem =
          args:
          import ./nixos/lib/eval-config.nix (
            {
              # A flake knows no current system: the modules or the caller say it.
              system = null;
            }
            // args
          );
      };
      legacyPackages = lib.genAttrs systems (system: import ./. { inherit system; });
      nixosModules = { };
    };
}
