# Evaluates one system: the base modules with the ones given.
evalConfigArgs@{
  # The platform, unless the modules say it (`nixpkgs.hostPlatform`): flakes pass null.
  system ? builtins.currentSystem,
  # Packages to use as they are; `nixpkgs.config` and overlays then have no effect.
  pkgs ? null,
  baseModules ? import ../modules/module-list.nix,
  # Deprecated in favour of specialArgs, but NixOps passes it: `_module.args`.
  extraArgs ? { },
  specialArgs ? { },
  modules,
  modulesLocation ? (builtins.unsafeGetAttrPos "modules" evalConfigArgs).file or null,
  check ? true,
  prefix ? [ ],
  lib ? import ../../lib,
  extraModules ? [ ],
}:
let
  pkgsModule = {
    _file = ./eval-config.nix;
    key = toString ./eval-config.nix;
    config = lib.mkMerge [
      (lib.mkIf (system != null) { nixpkgs.system = lib.mkDefault system; })
      (lib.mkIf (pkgs != null) { _module.args.pkgs = lib.mkForce pkgs; })
    ];
  };

  # Modules written where this function is called get the caller's file in error messages.
  located =
    if modulesLocation == null then
      modules
    else
      map (lib.setDefaultModuleLocation modulesLocation) modules;
  userModules = located ++ extraModules;

  evaluated = lib.evalModules {
    inherit prefix check;
    class = "nixos";
    modules = baseModules ++ [ pkgsModule ] ++ userModules;
    args = extraArgs;
    specialArgs = {
      modulesPath = builtins.toString ../modules;
    }
    // specialArgs;
  };

  withPackages =
    evaluation:
    let
      inherit (evaluation._module.args) pkgs;
    in
    {
      inherit (evaluation)
        _module
        config
        options
        type
        class
        ;
      inherit pkgs lib;
      inherit (pkgs) system;
      inherit extraArgs;
      extendModules = args: withPackages (evaluation.extendModules args);
    };
in
withPackages evaluated
