# Where the nixpkgs lies that a file of npins, niv or lon pins; null if it pins none.
{ file }:
let
  value = import (/. + file);
  pins = if builtins.isFunction value then value { } else value;
  nixpkgs = pins.nixpkgs or null;
in
if nixpkgs == null then null else "${nixpkgs.outPath or nixpkgs}"
