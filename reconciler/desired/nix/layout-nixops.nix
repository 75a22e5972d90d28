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
          builtins.intersectAttrs (builtins.foldl' (all: one: all // one) { } ofRepository) (
            removeAttrs (read (/. + sources.physical)) reserved
          )
          // {
            _file = sources.physical;
          }
        )
      ];
in
import ./nixops.nix {
  inherit given;
  inherit (arguments) uuid deploymentName;
  networks = ofRepository ++ physical;
  folder = dirOf (root + "/${builtins.head sources.files}");
}
