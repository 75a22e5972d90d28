# Every package and every helper that makes one, before overlays.
{
  lib,
  pkgs,
  system,
}:
let
  files = import ./build-support/files.nix { inherit lib pkgs system; };
  trees = import ./build-support/trees.nix { inherit lib pkgs system; };
  stdenv = import ./stdenv { inherit lib pkgs system; };
  tools = import ./tools.nix { inherit lib pkgs system; };
  linux = import ./linux.nix { inherit lib pkgs; };
in
files
// trees
// tools
// linux
// {
  inherit stdenv;
  inherit (stdenv) mkDerivation hostPlatform buildPlatform;
  stdenvNoCC = stdenv;
  targetPlatform = stdenv.hostPlatform;
  buildPackages = pkgs;

  callPackage = pkgs.newScope { };
  callPackages = lib.callPackagesWith pkgs;
  newScope = extra: lib.callPackageWith (pkgs // extra);

  formats = import ./formats.nix { inherit lib pkgs; };
  writers = import ./build-support/writers.nix { inherit lib pkgs; };

  hello = pkgs.callPackage ./hello { };
}
