{
  description = "GitOps for NixOS fleets: git push deploys, drift is seen and closed";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
    in
    {
      overlays.default = final: _: { reconciler = final.callPackage ./deploy/nixos/package.nix { }; };

      packages = lib.genAttrs systems (system: rec {
        reconciler = nixpkgs.legacyPackages.${system}.callPackage ./deploy/nixos/package.nix { };
        default = reconciler;
      });

      nixosModules = rec {
        reconciler = ./deploy/nixos/module.nix;
        default = reconciler;
      };

      # For makeSystemConfig of system-manager: see docs/layouts.md.
      systemManagerModules = rec {
        deployment = ./deploy/system-manager.nix;
        default = deployment;
      };
    };
}
