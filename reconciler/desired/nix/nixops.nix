# Networks of NixOps that are read already, as one: definitions of a machine add up over all
# of them (nix/eval-machine-info.nix of NixOps). Each has the name of its file as `_file`.
{
  networks,
  folder, # that files of morph's secrets are relative to
  given,
  uuid,
  deploymentName,
  flake ? null, # the nixpkgs of a flake, which evaluates its own way
  system ? null, # where nobody else says so
}:
let
  # Attributes of a network that are no machines.
  reserved = [ "_file" "defaults" "network" "nixpkgs" "require" "resources" ];

  # Every definition of an attribute, in the order of the files, with its file.
  definitionsOf =
    name:
    map (network: {
      inherit (network) _file;
      imports = [ network.${name} ];
    }) (builtins.filter (network: network ? ${name}) networks);

  union = builtins.foldl' (left: right: left // right) { };

  values = name: builtins.concatMap (network: valueOf network name) networks;
  valueOf = network: name: if network ? ${name} then [ network.${name} ] else [ ];

  zipped =
    sets:
    builtins.mapAttrs (name: _: builtins.catAttrs name sets) (union sets);

  # NixOps 2: `network.nixpkgs`, a package set, whose `path` it evaluates with; in morph
  # it is `network.pkgs`, which are the hosts' packages, too.
  settings = values "network";
  packages = builtins.filter builtins.isAttrs (builtins.catAttrs "pkgs" settings);
  pinned = builtins.catAttrs "nixpkgs" settings ++ packages;
  ofPackages =
    pkgs:
    { lib, ... }:
    {
      _file = "network.pkgs";
      nixpkgs.pkgs = lib.mkDefault pkgs;
    };
  ofSystem =
    { lib, ... }:
    {
      _file = "the platform of the reconciler";
      nixpkgs.system = lib.mkDefault system;
    };
  pathOf = pkgs: if builtins.isAttrs pkgs then pkgs.path or pkgs.outPath else pkgs;
in
import ./network.nix {
  inherit uuid deploymentName;
  arguments = given;
  more = [ (import ./morph.nix { inherit folder; }) ] ++ (
    if system == null then [ ] else [ ofSystem ]
  );
  definitions = builtins.mapAttrs (name: _: definitionsOf name) (
    removeAttrs (union networks) reserved
  );
  defaults = definitionsOf "defaults" ++ map ofPackages packages;
  specialArgs = union (builtins.catAttrs "specialArgs" settings); # morph's
  evalConfig = if flake == null then null else flake.lib.nixosSystem;
  nixpkgs =
    if flake != null then
      flake.outPath
    else if pinned == [ ] then
      <nixpkgs>
    else
      pathOf (builtins.head pinned);
  resources = builtins.mapAttrs (_: zipped) (zipped (values "resources"));
}
