# Matches the definitions of all modules with the declarations of all modules, and makes
# one value of each option.
lib:
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    filter
    head
    isAttrs
    length
    mapAttrs
    zipAttrsWith
    ;
  inherit (lib) isOption showDefs showFiles showOption;
  properties = import ./properties.nix lib;

  isProperty = value: isAttrs value && value ? _type;

  # One level of declarations and definitions: `decls` are modules seen from `loc`.
  mergeLevel =
    loc: decls: configs:
    let
      declsByName = zipAttrsWith (_: values: values) (
        map (
          module:
          if isAttrs module.options then
            mapAttrs (_: options: {
              inherit (module) _file;
              inherit options;
            }) module.options
          else
            throw "An option declaration for `${showOption loc}' has type `${builtins.typeOf module.options}', rather than an attribute set.\nDid you mean to define this outside of `options'?\nProblematic definition in `${module._file}'."
        ) decls
      );

      # The definitions of each name. `pushed` for names that go deeper: their conditions are
      # not looked at here. An option's own definitions keep their wrapping.
      perConfig = concatMap (
        module:
        map (config: {
          inherit (module) file;
          inherit config;
        }) (properties.pushDownProperties module.config)
      ) configs;
      checkedConfig =
        module:
        if isAttrs module.config then
          module.config
        else
          throw (notASet loc module);
      defsByName = zipAttrsWith (_: values: values) (
        map (
          module:
          mapAttrs (_: value: {
            inherit (module) file;
            inherit value;
          }) (checkedConfig module)
        ) perConfig
      );

      results = mapAttrs (name: mergeName (loc ++ [ name ]) (defsByName.${name} or [ ])) declsByName;
      undeclared = removeAttrs defsByName (attrNames declsByName);
      unmatchedOf =
        name: defs: map (def: def // { prefix = [ name ] ++ def.prefix or [ ]; }) defs;
    in
    {
      options = mapAttrs (_: result: result.options) results;
      unmatched =
        if configs == [ ] then
          [ ]
        else
          concatLists (
            lib.mapAttrsToList unmatchedOf (mapAttrs (_: result: result.unmatched) results // undeclared)
          );
    };

  notASet =
    loc: module:
    if loc == [ ] then
      "Module `${module.file}' has a value of type ${builtins.typeOf module.config} where a set of definitions is expected."
    else
      "You're trying to define a value of type `${builtins.typeOf module.config}'\nrather than an attribute set for the option\n`${showOption loc}'!\n\nThis usually happens if `${showOption loc}' has option\ndefinitions inside that are not matched. Please check how to properly define\nthis option by e.g. referring to `man 5 configuration.nix'!\n";

  mergeName =
    loc: defs: decls:
    let
      optionDecls = filter (
        decl: decl.options ? _type && (isOption decl.options || throw (wrongDeclaration loc decl))
      ) decls;
      asOption = decls': {
        options = evalOptionValue loc (fixupOptionType loc (mergeOptionDecls loc decls')) defs;
        unmatched = [ ];
      };
      others = filter (decl: !isOption decl.options) decls;
    in
    if length optionDecls == length decls then
      asOption decls
    else if optionDecls != [ ] then
      # Options below an option: only a submodule can take them in.
      if all (decl: decl.options.type.name or null == "submodule") optionDecls then
        asOption (map treeToOption decls)
      else
        throw "The option `${showOption loc}' in module `${(head optionDecls)._file}' would be a parent of the following options, but its type `${
          (head optionDecls).options.type.description or "<no description>"
        }' does not support nested options.\n${showNested loc others}"
    else
      mergeLevel loc decls (
        map (def: {
          inherit (def) file;
          config = def.value;
        }) defs
      );

  treeToOption =
    decl:
    if isOption decl.options then
      decl
    else
      decl
      // {
        options = lib.mkOption {
          type = lib.types.submoduleWith {
            modules = [ { inherit (decl) options; } ];
            shorthandOnlyDefinesConfig = null;
          };
        };
      };

  wrongDeclaration =
    loc: decl:
    "In module ${decl._file}: expected an option declaration at option path `${showOption loc}` but got an attribute set with type ${decl.options._type}";

  showNested =
    loc: decls:
    let
      show =
        decl:
        map (path: " - option(s) with prefix `${showOption (loc ++ [ path ])}' in module `${decl._file}'") (
          attrNames decl.options
        );
    in
    builtins.concatStringsSep "\n" (concatMap show decls);

  # Several declarations of one option, which may each add to its type.
  mergeOptionDecls =
    loc: decls:
    let
      step =
        acc: decl:
        let
          option = decl.options;
          clash =
            key: acc ? ${key} && option ? ${key};
          merged = acc.type.typeMerge option.type.functor;
          bothTyped = acc ? type && option ? type;
        in
        if any clash [ "default" "example" "description" "apply" ] || (bothTyped && merged == null) then
          throw "The option `${showOption loc}' in `${decl._file}' is already declared in ${showFiles acc.declarations}."
        else
          acc
          // option
          // {
            declarations = acc.declarations ++ [ decl._file ];
            ${if bothTyped then "type" else null} = merged;
          };
    in
    builtins.foldl' step {
      inherit loc;
      declarations = [ ];
    } decls;

  # Modules of a submodule get the file of the option as theirs.
  fixupOptionType =
    loc: option:
    let
      modules = option.type.getSubModules or null;
      type = option.type or lib.types.unspecified;
    in
    option
    // {
      type =
        if modules == null then
          type
        else
          type.substSubModules (
            map (lib.modules.setDefaultModuleLocation (head option.declarations)) modules
          );
      readOnly = option.readOnly or false;
    };

  evalOptionValue =
    loc: option: defs:
    let
      withDefault =
        lib.optional (option ? default) {
          file = head option.declarations;
          value = properties.mkOptionDefault option.default;
        }
        ++ defs;
      alone = def: def // { value = (mergeDefinitions loc option.type [ def ]).mergedValue; };
      result =
        if option.readOnly && length withDefault > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs (map alone withDefault)}"
        else
          mergeDefinitions loc option.type withDefault;
      value = (option.apply or lib.id) result.mergedValue;
      deprecated =
        if option.type.deprecationMessage or null != null then
          lib.warn "The type `types.${option.type.name}' of option `${showOption loc}' defined in ${showFiles option.declarations} is deprecated. ${option.type.deprecationMessage}"
        else
          lib.id;
    in
    deprecated option
    // {
      value = builtins.addErrorContext "while evaluating the option `${showOption loc}':" value;
      inherit (result) highestPrio isDefined;
      definitions = map (def: def.value) result.defsFinal;
      files = map (def: def.file) result.defsFinal;
      definitionsWithLocations = result.defsFinal;
      __toString = _: showOption loc;
    };

  # Conditions, then priorities, then order, then types, then one value.
  mergeDefinitions =
    loc: type: defs:
    let
      discharge =
        def:
        map (
          value:
          if value._type or null == "definition" then
            value
          else
            {
              inherit (def) file;
              inherit value;
            }
        ) (
          builtins.addErrorContext "while evaluating definitions from `${def.file}':" (
            properties.dischargeProperties def.value
          )
        );
      isPlain = length defs == 1 && !(isProperty (head defs).value);
      filtered = properties.filterOverrides' (concatMap discharge defs);
      isOrdered = any (def: def.value._type or null == "order") filtered.values;
      sorted = if isOrdered then properties.sortProperties filtered.values else filtered.values;
      defsFinal = if isPlain then defs else sorted;
      isDefined = defsFinal != [ ];

      invalid = filter (def: !type.check def.value) defsFinal;
      mergedValue =
        if isDefined then
          if invalid == [ ] then
            type.merge loc defsFinal
          else
            throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${showDefs invalid}"
        else if type.emptyValue ? value then
          type.emptyValue.value
        else
          throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.";
    in
    {
      inherit defsFinal isDefined mergedValue;
      highestPrio = if isPlain then properties.defaultOverridePriority else filtered.highestPrio;
      optionalValue = lib.optionalAttrs isDefined { value = mergedValue; };
    };

  # The message for a definition without an option, with the nearest names there are.
  undeclared =
    prefix: options: def:
    let
      path = prefix ++ def.prefix;
      parent = lib.init def.prefix;
      siblings = attrNames (lib.attrByPath parent { } options);
      wanted = lib.last def.prefix;
      candidates = if parent == [ ] then lib.remove "_module" siblings else siblings;
      # Far-off names are of no use where there are many.
      distances = map (name: {
        inherit name;
        distance = lib.strings.levenshtein wanted name;
      }) candidates;
      near =
        if length candidates < 100 then distances else filter (entry: entry.distance <= 2) distances;
      names = map (entry: "`${showOption (prefix ++ parent ++ [ entry.name ])}'") (
        lib.take 3 (lib.sortOn (entry: entry.distance) near)
      );
      suggestion =
        if names == [ ] then
          ""
        else if length names == 1 then
          "\n\nDid you mean ${head names}?"
        else
          "\n\nDid you mean ${builtins.concatStringsSep ", " (lib.init names)} or ${lib.last names}?";
      message = "The option `${showOption path}' does not exist. Definition values:${
        builtins.addErrorContext "while evaluating a definition from `${def.file}'" (showDefs [ def ])
      }${suggestion}";
      hint =
        if prefix == [ ] then
          "It seems as if you're trying to declare an option by placing it into `config' rather than `options'!"
        else
          "However there are no options defined in `${showOption prefix}'. Are you sure you've\ndeclared your options properly? This can happen if you e.g. declared your options in `types.submodule'\nunder `config' rather than `options'.";
    in
    if attrNames options == [ "_module" ] then "${message}\n\n${hint}\n" else message;
in
{
  inherit
    evalOptionValue
    fixupOptionType
    mergeDefinitions
    mergeOptionDecls
    undeclared
    ;

  mergeModules =
    prefix: modules:
    mergeLevel prefix modules (
      map (module: {
        file = module._file;
        inherit (module) config;
      }) modules
    );
}
