# Types say what a value of an option may be, how several definitions become one value, and
# how several declarations of the option become one type.
lib:
let
  base = import ./types/base.nix lib;
  scalars = import ./types/scalars.nix lib base;
  containers = import ./types/containers.nix lib base;
  submodules = import ./types/submodules.nix lib base;

  types = scalars // containers // submodules // { inherit (base) optionType; };
in
types
// {
  inherit types;
  inherit (base)
    defaultFunctor
    defaultTypeMerge
    isOptionType
    isType
    mkOptionType
    optionDescriptionPhrase
    setType
    ;
}
