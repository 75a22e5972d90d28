# Our own programs and data, as pkgs.within.<name>.
{ pkgs }:

{
  facts = pkgs.callPackage ./facts { };
  printerfacts = pkgs.callPackage ./printerfacts { };
  withinbot = pkgs.callPackage ./withinbot { };
}
