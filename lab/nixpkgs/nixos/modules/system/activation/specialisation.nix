# Variants of the system, built and kept with it.
{
  config,
  lib,
  extendModules,
  ...
}:
let
  inherit (lib) mkOption types;
  variant =
    local:
    types.submodule {
      options = {
        inheritParentConfig = mkOption {
          type = types.bool;
          default = true;
          description = "Whether the variant has the parent's configuration too; only true works here.";
        };
        configuration = mkOption {
          type = local;
          default = { };
          description = "What the variant has besides.";
        };
      };
    };
  extended = extendModules { modules = [ { specialisation = lib.mkOverride 0 { }; } ]; };
in
{
  options.specialisation = mkOption {
    type = types.lazyAttrsOf (variant extended.type);
    default = { };
    description = "Variants of the system.";
  };
  config.system.systemBuilderCommands = ''
    mkdir "$out/specialisation"
    ${lib.concatLines (
      lib.mapAttrsToList (
        name: variant:
        "ln -s ${variant.configuration.system.build.toplevel} \"$out/specialisation/${name}\""
      ) config.specialisation
    )}
  '';
}
