# Who keeps a module and where its manual is: modules may say it, nothing here reads it.
{ lib, ... }:
{
  options.meta = {
    maintainers = lib.mkOption {
      type = lib.types.listOf lib.types.raw;
      internal = true;
      default = [ ];
      description = "People who keep the module.";
    };
    doc = lib.mkOption {
      type = lib.types.raw;
      internal = true;
      default = null;
      description = "The module's chapter of a manual.";
    };
    buildDocsInSandbox = lib.mkOption {
      type = lib.types.bool;
      internal = true;
      default = true;
      description = "How the manual would be built.";
    };
  };
}
