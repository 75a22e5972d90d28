# The package set, as `nixpkgs.*` wants it, becomes the `pkgs` argument of every module.
{
  config,
  options,
  lib,
  ...
}:
let
  cfg = config.nixpkgs;
  inherit (lib) mkOption types;

  # Two `packageOverrides` are put one after the other, everything else is merged.
  mergeConfig =
    a: b:
    lib.recursiveUpdate a b
    // lib.optionalAttrs (a ? packageOverrides && b ? packageOverrides) {
      packageOverrides = pkgs: a.packageOverrides pkgs // b.packageOverrides pkgs;
    };
  evaluate = value: if lib.isFunction value then value { inherit (config._module.args) pkgs; } else value;
  configType = lib.mkOptionType {
    name = "nixpkgs-config";
    description = "nixpkgs config";
    check = value: builtins.isAttrs value || lib.isFunction value;
    merge = _: defs: lib.foldl' (acc: def: mergeConfig acc (evaluate def.value)) { } defs;
  };
  overlayType = lib.mkOptionType {
    name = "nixpkgs-overlay";
    description = "nixpkgs overlay";
    check = lib.isFunction;
    merge = lib.mergeOneOption;
  };
  systemOf = platform: platform.system or platform;
  platformType = types.either types.str (types.attrsOf types.raw);

  made = import ../../.. {
    inherit (cfg) config overlays;
    system = if options.nixpkgs.hostPlatform.isDefined then cfg.hostPlatform.system else cfg.system;
  };
  final =
    if options.nixpkgs.pkgs.isDefined then cfg.pkgs.appendOverlays cfg.overlays else made;
in
{
  options.nixpkgs = {
    pkgs = mkOption {
      type = types.pkgs;
      description = "A package set to use as it is, but for the overlays.";
    };
    config = mkOption {
      type = configType;
      default = { };
      description = "The `config` of the package set.";
    };
    overlays = mkOption {
      type = types.listOf overlayType;
      default = [ ];
      description = "Overlays for the package set.";
    };
    hostPlatform = mkOption {
      type = platformType;
      apply = platform: lib.systems.elaborate (systemOf platform);
      description = "The platform that the system runs on.";
    };
    buildPlatform = mkOption {
      type = platformType;
      default = cfg.hostPlatform;
      defaultText = lib.literalExpression "config.nixpkgs.hostPlatform";
      description = "The platform that builds; the stand-in builds for its own only.";
    };
    localSystem = mkOption {
      type = platformType;
      default = { inherit (cfg) system; };
      description = "The old name of the platform.";
    };
    system = mkOption {
      type = types.str;
      description = "The platform as one string.";
    };
  };

  config._module.args = {
    pkgs = final;
    utils = import ../../lib/utils.nix { inherit lib; };
  };
}
