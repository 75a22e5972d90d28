# Modules that stand in for options which were renamed, removed or changed.
lib:
let
  inherit (lib)
    getAttrFromPath
    mkOption
    setAttrByPath
    showFiles
    showOption
    ;
in
rec {
  mkRemovedOptionModule =
    path: instructions:
    { options, ... }:
    let
      option = getAttrFromPath path options;
    in
    {
      options = setAttrByPath path (mkOption {
        visible = false;
        apply =
          _:
          throw "The option `${showOption path}' can no longer be used since it's been removed. ${instructions}";
      });
      config.assertions = [
        {
          assertion = !option.isDefined;
          message = ''
            The option definition `${showOption path}' in ${showFiles option.files} no longer has any effect; please remove it.
            ${instructions}
          '';
        }
      ];
    };

  mkRenamedOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = false;
      warn = true;
      use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  mkRenamedOptionModuleWith =
    {
      from,
      to,
      sinceRelease,
    }:
    let
      isDue = lib.oldestSupportedReleaseIsAtLeast sinceRelease;
    in
    doRename {
      inherit from to;
      visible = false;
      warn = isDue;
      use = lib.warnIf isDue "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  mkAliasOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = true;
      warn = false;
      use = lib.id;
    };
  mkAliasOptionModuleMD = mkAliasOptionModule;

  doRename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { options, config, ... }:
    let
      old = getAttrFromPath from options;
      newType = (lib.attrByPath to { } options).type or (lib.types.submodule { });
      wrap =
        if withPriority then
          lib.modules.mkAliasAndWrapDefsWithPriority
        else
          lib.modules.mkAliasAndWrapDefinitions;
      missing = abort "Renaming error: option `${showOption to}' does not exist.";
    in
    {
      options = setAttrByPath from (mkOption {
        inherit visible;
        description = "Alias of {option}`${showOption to}`.";
        type = newType;
        apply = _: use (lib.attrByPath to missing config);
      });
      config = lib.mkIf condition (
        lib.mkMerge [
          (lib.optionalAttrs (options ? warnings) {
            warnings = lib.optional (warn && old.isDefined)
              "The option `${showOption from}' defined in ${showFiles old.files} has been renamed to `${showOption to}'.";
          })
          (wrap (setAttrByPath to) old)
        ]
      );
    };

  mkMergedOptionModule =
    froms: to: combine:
    { options, config, ... }:
    let
      # No person writes this value, so it tells an option that was left alone.
      untouched = "_mkMergedOptionModule";
      isSet = path: getAttrFromPath path config != untouched;
      warning =
        path:
        "The option `${showOption path}' defined in ${
          showFiles (getAttrFromPath path options).files
        } has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly.";
    in
    {
      options = builtins.foldl' lib.recursiveUpdate { } (
        map (
          path:
          setAttrByPath path (mkOption {
            visible = false;
            default = untouched;
          })
        ) froms
      );
      config = {
        warnings = map warning (builtins.filter isSet froms);
      }
      // setAttrByPath to (lib.mkMerge (lib.optional (builtins.any isSet froms) (combine config)));
    };
  mkChangedOptionModule = from: mkMergedOptionModule [ from ];

  # Defines something with the priority of the option that it is derived from.
  mkDerivedConfig =
    option: f:
    lib.mkOverride (option.highestPrio or lib.modules.defaultOverridePriority) (f option.value);
}
