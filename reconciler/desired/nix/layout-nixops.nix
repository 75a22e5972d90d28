# Layout "nixops": network files, read as NixOps 1.7 and 2 read them
# (nix/eval-machine-info.nix there). A file is an attribute set, or a function that is
# called with all of the deployment's arguments, which are `repository.arguments` here.
{ checkout, sources, ... }@arguments:
let
  root = /. + checkout;

  # Attributes of a network that are no machines.
  reserved = [ "_file" "defaults" "network" "nixpkgs" "require" "resources" ];

  given = sources.arguments;

  called =
    file: value:
    let
      accepted = builtins.functionArgs value;
      missing = builtins.filter (name: !(accepted.${name} || given ? ${name})) (
        builtins.attrNames accepted
      );
      told = if builtins.length missing == 1 then "the argument" else "the arguments";
      names = builtins.concatStringsSep ", " missing;
    in
    if !builtins.isFunction value then
      value
    else if missing == [ ] then
      value given
    else
      throw "${toString file} asks for ${told} ${names}, of which NixOps keeps the values in its state (nixops set-args): set repository.arguments.${builtins.head missing} in the settings, or give it a default";

  read =
    file:
    let
      network = called file (import file);
    in
    if builtins.isAttrs network then
      network // { _file = toString file; }
    else
      throw "${toString file} is not a NixOps network: its value is a ${builtins.typeOf network}, not an attribute set of machines";

  keyed = file: { key = toString file; };

  files = builtins.genericClosure {
    startSet = map (source: keyed (root + "/${source}")) sources.files;
    operator = { key }: map keyed ((read key).require or [ ]);
  };

  ofRepository = map ({ key }: read key) files;

  # What NixOps keeps of its machines in its state and adds last: where they are, and the
  # like. It adds to hosts of the repository, and makes none.
  physical =
    if sources.physical == null then
      [ ]
    else
      [
        (
          builtins.intersectAttrs (removeAttrs (union ofRepository) reserved) (
            read (/. + sources.physical)
          )
          // {
            _file = sources.physical;
          }
        )
      ];

  networks = ofRepository ++ physical;

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
  pathOf = pkgs: if builtins.isAttrs pkgs then pkgs.path or pkgs.outPath else pkgs;
in
import ./network.nix {
  inherit (arguments) uuid deploymentName;
  arguments = given;
  more = [ (import ./morph.nix { folder = dirOf (root + "/${builtins.head sources.files}"); }) ];
  definitions = builtins.mapAttrs (name: _: definitionsOf name) (
    removeAttrs (union networks) reserved
  );
  defaults = definitionsOf "defaults" ++ map ofPackages packages;
  specialArgs = union (builtins.catAttrs "specialArgs" settings); # morph's
  nixpkgs = if pinned == [ ] then <nixpkgs> else pathOf (builtins.head pinned);
  resources = builtins.mapAttrs (_: zipped) (zipped (values "resources"));
}
