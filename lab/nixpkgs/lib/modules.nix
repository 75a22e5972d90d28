# The module system: many modules, each declaring options and defining values, become one
# configuration. `load` turns what people write into modules of one shape, `properties`
# knows mkIf, mkMerge, priorities and order, `merge` matches definitions with
# declarations, `rename` makes modules that keep old option names alive.
lib:
let
  load = import ./modules/load.nix lib;
  properties = import ./modules/properties.nix lib;
  merge = import ./modules/merge.nix lib;
  rename = import ./modules/rename.nix lib;

  # Options every evaluation has about itself.
  internalModule =
    {
      specialArgs,
      args,
      check,
      extendModules,
      type,
    }:
    {
      _file = "lib/modules.nix";
      key = "lib/modules.nix";
      options._module = {
        args = lib.mkOption {
          type = lib.types.lazyAttrsOf lib.types.raw;
          internal = true;
          description = "Additional arguments passed to each module.";
        };
        check = lib.mkOption {
          type = lib.types.bool;
          internal = true;
          default = check;
          description = "Whether to check that every definition has its option.";
        };
        freeformType = lib.mkOption {
          type = lib.types.nullOr lib.types.optionType;
          internal = true;
          default = null;
          description = "The type of definitions that no option declares.";
        };
        specialArgs = lib.mkOption {
          readOnly = true;
          internal = true;
          description = "Arguments that imports may depend on.";
        };
      };
      config._module = {
        args = {
          inherit extendModules;
          moduleType = type;
        }
        // args;
        specialArgs = specialArgs;
      };
    };

  evalModules =
    evalArgs@{
      modules,
      prefix ? [ ],
      specialArgs ? { },
      class ? null,
      # The old ways of saying `_module.args` and `_module.check`.
      args ? { },
      check ? true,
    }:
    let
      type = lib.types.submoduleWith {
        inherit modules specialArgs class;
      };
      extendModules =
        extension@{
          modules ? [ ],
          specialArgs ? { },
          prefix ? [ ],
        }:
        evalModules (
          evalArgs
          // {
            inherit class;
            modules = evalArgs.modules ++ modules;
            specialArgs = evalArgs.specialArgs or { } // specialArgs;
            prefix = extension.prefix or (evalArgs.prefix or [ ]);
          }
        );

      collected = load.collect class (specialArgs.modulesPath or "") (
        modules
        ++ [
          (internalModule {
            inherit
              specialArgs
              args
              check
              extendModules
              type
              ;
          })
        ]
      ) (
        {
          inherit config lib options specialArgs;
          _class = class;
          _prefix = prefix;
        }
        // specialArgs
      );

      # Imported modules come before those that import them.
      merged = merge.mergeModules prefix (lib.reverseList collected);
      inherit (merged) options;
      declared = lib.mapAttrsRecursiveCond (v: !lib.isOption v) (_: option: option.value) options;
      freeformType = declared._module.freeformType;
      freeformDefs = map (def: {
        inherit (def) file;
        value = lib.setAttrByPath def.prefix def.value;
      }) merged.unmatched;
      freeform = if freeformDefs == [ ] then { } else freeformType.merge prefix freeformDefs;
      config = if freeformType == null then declared else lib.recursiveUpdate freeform declared;

      checked =
        if declared._module.check && freeformType == null && merged.unmatched != [ ] then
          throw (merge.undeclared prefix options (builtins.head merged.unmatched))
        else
          null;
      withCheck = builtins.seq checked;
    in
    {
      _type = "configuration";
      options = withCheck options;
      config = withCheck (removeAttrs config [ "_module" ]);
      _module = withCheck config._module;
      inherit extendModules type class;
    };
in
{
  inherit evalModules;
  inherit (load) importApply setDefaultModuleLocation unknownModule unifyModuleSyntax;
  inherit (merge)
    evalOptionValue
    fixupOptionType
    mergeDefinitions
    mergeOptionDecls
    ;
  inherit (rename)
    doRename
    mkAliasOptionModule
    mkAliasOptionModuleMD
    mkChangedOptionModule
    mkDerivedConfig
    mkMergedOptionModule
    mkRemovedOptionModule
    mkRenamedOptionModule
    mkRenamedOptionModuleWith
    ;

  # Reads a data file as a module's definitions.
  importJSON = file: {
    _file = file;
    config = lib.trivial.importJSON file;
  };
  importTOML = file: {
    _file = file;
    config = lib.trivial.importTOML file;
  };
  fixMergeModules =
    modules: args:
    evalModules {
      inherit modules args;
      check = false;
    };
  # Attributes as their highest priority left them: `{ value, highestPrio }` for each.
  mergeAttrDefinitionsWithPrio =
    option:
    let
      byName = lib.zipAttrs (
        builtins.concatMap (
          def:
          map (builtins.mapAttrs (
            _: value: {
              inherit (def) file;
              inherit value;
            }
          )) (properties.pushDownProperties def.value)
        ) option.definitionsWithLocations
      );
    in
    builtins.mapAttrs (
      name: defs:
      let
        result = merge.mergeDefinitions (option.loc ++ [ name ]) (
          if option.type.descriptionClass == "composite" then option.type.nestedTypes.elemType else lib.types.raw
        ) defs;
      in
      {
        inherit (result) highestPrio;
        value = result.mergedValue;
      }
    ) byName;
}
// properties
