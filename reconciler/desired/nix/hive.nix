# A Colmena hive, evaluated as Colmena does (src/nix/hive/eval.nix there): `meta`, once
# `network`, says with what; `defaults` is for all; every other attribute is a node, which
# is a module or a list of them. `name` and `nodes` are arguments that `imports` may depend
# on. `hermetic` is how a flake's hive is read: nothing comes from the search path.
{ hive, hermetic, uuid, deploymentName }:
let
  called = if builtins.isFunction hive then hive { } else hive;

  meta =
    if called ? meta && called ? network then
      throw "the hive has both `meta` and `network`, which are two names of the same: remove one"
    else
      called.meta or (called.network or { });

  definitions = removeAttrs called [ "defaults" "meta" "network" ];

  # A path to a nixpkgs, what is in its file, or a package set that is made already.
  packages =
    option: value:
    let
      isPlace = builtins.isPath value || (builtins.isAttrs value && value ? outPath);
    in
    if hermetic && (isPlace || builtins.isFunction value || value ? outputs) then
      throw "${option} must be a package set in a flake's hive: import nixpkgs { system = …; }"
    else if isPlace then
      packages option (import value)
    else if builtins.isFunction value then
      value { overlays = [ ]; }
    else if builtins.isAttrs value then
      value
    else
      throw "${option} is neither a path to a nixpkgs nor a package set";

  common = packages "meta.nixpkgs" (
    if meta.nixpkgs or null != null then
      meta.nixpkgs
    else if hermetic then
      throw "meta.nixpkgs must be set in a flake's hive"
    else
      <nixpkgs>
  );

  packagesOf =
    name:
    if meta ? nodeNixpkgs.${name} then
      packages "meta.nodeNixpkgs.${name}" meta.nodeNixpkgs.${name}
    else
      common;

  evaluated =
    { more }:
    name: definition:
    let
      pkgs = packagesOf name;
      inherit (pkgs) lib;

      withItsPackages = {
        _file = "meta.nixpkgs of the hive";
        nixpkgs.overlays = lib.mkBefore pkgs.overlays;
        # Options of their own since 22.11, which merge.
        nixpkgs.config =
          if lib.versionAtLeast lib.version "22.11pre" then
            lib.mkBefore pkgs.config
          else
            lib.mkOptionDefault pkgs.config;
      };

      ours = {
        _file = "${toString ./hive.nix} (${name})";
        imports = [ ./deployment.nix ];
        config.deployment = {
          inherit uuid;
          name = deploymentName;
          arguments = { };
          targetHost = lib.mkOverride 1400 name;
        };
      };

      modules = if builtins.isList definition then definition else [ definition ];
    in
    import (pkgs.path + "/nixos/lib/eval-config.nix") {
      inherit (pkgs) system;
      modules = [ withItsPackages ours (called.defaults or { }) ] ++ more ++ modules;
      specialArgs = {
        inherit name;
        nodes = seenByOthers;
      }
      // (meta.specialArgs or { })
      // (meta.nodeSpecialArgs.${name} or { });
    }
    // {
      inherit lib;
    };

  nodes = builtins.mapAttrs (evaluated { more = [ ]; }) definitions;
  # Of each other, nodes may look at what is there, typing mistakes and all.
  seenByOthers = builtins.mapAttrs (evaluated {
    more = [ { _module.check = false; } ];
  }) definitions;
in
if !builtins.isAttrs called then
  throw "the value of the hive is a ${builtins.typeOf called}, not an attribute set of nodes"
else if called ? __schema then
  throw "the hive is evaluated already: a flake gives it as colmenaHive"
else
  nodes
