# Types whose values are configurations of modules of their own.
lib: base:
let
  inherit (builtins) isAttrs isPath;
  inherit (base) mkOptionType;

  isModule = x: isAttrs x || lib.isFunction x || isPath x;
in
rec {
  submodule =
    modules:
    submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = lib.toList modules;
    };

  submoduleWith =
    args@{
      modules,
      specialArgs ? { },
      # Whether a set that defines the value may not also declare options.
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }:
    let
      shorthand = shorthandOnlyDefinesConfig == true;
      asModule =
        def:
        if isAttrs def.value && shorthand then
          {
            _file = def.file;
            config = def.value;
          }
        else
          {
            _file = def.file;
            imports = [ def.value ];
          };

      # The member's name is known only where a value is made.
      evaluation = lib.modules.evalModules {
        inherit class specialArgs;
        modules = [ { _module.args.name = lib.mkOptionDefault "‹name›"; } ] ++ modules;
      };
      freeformType = evaluation._module.freeformType;
      name = "submodule";
    in
    mkOptionType {
      inherit name;
      description =
        if description != null then
          description
        else if freeformType == null then
          name
        else
          "open ${name} of ${base.compositePhrase freeformType}";
      descriptionClass = "noun";
      check = isModule;
      merge =
        loc: defs:
        (evaluation.extendModules {
          modules = [ { _module.args.name = lib.last loc; } ] ++ map asModule defs;
          prefix = loc;
        }).config;
      emptyValue.value = { };
      getSubOptions =
        prefix:
        (evaluation.extendModules { inherit prefix; }).options
        // lib.optionalAttrs (freeformType != null) {
          _freeformOptions = freeformType.getSubOptions (prefix ++ [ "<name>" ]);
        };
      getSubModules = modules;
      substSubModules = modules: submoduleWith (args // { inherit modules; });
      nestedTypes = lib.optionalAttrs (freeformType != null) { inherit freeformType; };
      functor = base.defaultFunctor name // {
        type = submoduleWith;
        payload = {
          inherit
            class
            description
            modules
            shorthandOnlyDefinesConfig
            specialArgs
            ;
        };
        binOp = mergeSubmodules;
      };
    };

  # What two declarations of one submodule say must not contradict each other.
  mergeSubmodules =
    a: b:
    let
      either =
        what: x: y:
        if x == null then
          y
        else if y == null || x == y then
          x
        else
          throw "A submoduleWith option is declared multiple times with conflicting ${what}";
      clashes = builtins.intersectAttrs a.specialArgs b.specialArgs;
    in
    {
      modules = a.modules ++ b.modules;
      class = either "class values" a.class b.class;
      description = either "descriptions" a.description b.description;
      shorthandOnlyDefinesConfig =
        either "shorthandOnlyDefinesConfig values" a.shorthandOnlyDefinesConfig
          b.shorthandOnlyDefinesConfig;
      specialArgs =
        if clashes == { } then
          a.specialArgs // b.specialArgs
        else
          throw "A submoduleWith option is declared multiple times with the same specialArgs \"${toString (builtins.attrNames clashes)}\"";
    };

  deferredModule = deferredModuleWith { };
  # Modules that are only gathered here and evaluated elsewhere.
  deferredModuleWith =
    attrs@{
      staticModules ? [ ],
    }:
    mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = isModule;
      merge = loc: defs: {
        imports =
          staticModules
          ++ map (
            def:
            lib.modules.setDefaultModuleLocation "${def.file}, via option ${lib.showOption loc}" def.value
          ) defs;
      };
      emptyValue.value = { };
      inherit (submoduleWith { modules = staticModules; }) getSubOptions getSubModules;
      substSubModules = modules: deferredModuleWith (attrs // { staticModules = modules; });
      functor = base.defaultFunctor "deferredModuleWith" // {
        type = deferredModuleWith;
        payload = { inherit staticModules; };
        binOp = a: b: { staticModules = lib.unique (a.staticModules ++ b.staticModules); };
      };
    };
}
