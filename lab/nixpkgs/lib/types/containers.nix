# Types of values that hold values of other types.
lib: base:
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    filter
    head
    isAttrs
    isList
    length
    mapAttrs
    zipAttrsWith
    ;
  inherit (base)
    compositePhrase
    elemTypeFunctor
    mkOptionType
    nounPhrase
    optionDescriptionPhrase
    ;
  inherit (lib.modules) mergeDefinitions;
  inherit (lib.options)
    getFiles
    getValues
    mergeOneOption
    showDefs
    showOption
    ;
  inherit (lib) types;

  # Each definition's members, with the file of the definition.
  membersWithFile =
    def:
    mapAttrs (_: value: {
      inherit (def) file;
      inherit value;
    }) def.value;
in
rec {
  listOf =
    elemType:
    mkOptionType rec {
      name = "listOf";
      description = "list of ${compositePhrase elemType}";
      descriptionClass = "composite";
      check = isList;
      merge =
        loc: defs:
        let
          element =
            n: def: m: value:
            (mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType [
              {
                inherit (def) file;
                inherit value;
              }
            ]).optionalValue;
          elements = concatLists (lib.imap1 (n: def: lib.imap1 (element n def) def.value) defs);
        in
        builtins.catAttrs "value" elements;
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      getSubModules = elemType.getSubModules;
      substSubModules = modules: listOf (elemType.substSubModules modules);
      functor = elemTypeFunctor name (payload: listOf payload.elemType) { inherit elemType; };
      nestedTypes = { inherit elemType; };
    };
  nonEmptyListOf =
    elemType:
    let
      list = addCheck (listOf elemType) (value: value != [ ]);
    in
    list
    // {
      description = "non-empty ${nounPhrase list}";
      emptyValue = { };
      substSubModules = modules: nonEmptyListOf (elemType.substSubModules modules);
    };

  attrsOf = elemType: attrsWith { inherit elemType; };
  # Members are looked at only when asked for: a condition may depend on a sibling, but a
  # member whose definitions all fall away is an error instead of absent.
  lazyAttrsOf =
    elemType:
    attrsWith {
      inherit elemType;
      lazy = true;
    };
  attrsWith =
    {
      elemType,
      lazy ? false,
      placeholder ? "name",
    }:
    mkOptionType rec {
      name = if lazy then "lazyAttrsOf" else "attrsOf";
      description = "${if lazy then "lazy attribute set" else "attribute set"} of ${compositePhrase elemType}";
      descriptionClass = "composite";
      check = isAttrs;
      merge =
        loc: defs:
        let
          member = name: defs: mergeDefinitions (loc ++ [ name ]) elemType defs;
          members = map membersWithFile defs;
        in
        if lazy then
          zipAttrsWith (
            name: defs:
            let
              merged = member name defs;
            in
            merged.optionalValue.value or elemType.emptyValue.value or merged.mergedValue
          ) members
        else
          mapAttrs (_: merged: merged.value) (
            lib.filterAttrs (_: merged: merged ? value) (
              zipAttrsWith (name: defs: (member name defs).optionalValue) members
            )
          );
      emptyValue.value = { };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
      getSubModules = elemType.getSubModules;
      substSubModules =
        modules:
        attrsWith {
          elemType = elemType.substSubModules modules;
          inherit lazy placeholder;
        };
      functor = elemTypeFunctor "attrsWith" (
        payload: attrsWith { inherit (payload) elemType; inherit lazy placeholder; }
      ) { inherit elemType; };
      nestedTypes = { inherit elemType; };
    };
  loaOf = attrsOf;
  attrListOf = elemType: listOf (attrsOf elemType);

  uniq = unique { message = ""; };
  unique =
    { message }:
    type:
    mkOptionType rec {
      name = "unique";
      inherit (type)
        check
        description
        descriptionClass
        emptyValue
        getSubModules
        getSubOptions
        ;
      merge = lib.options.mergeUniqueOption {
        inherit message;
        inherit (type) merge;
      };
      substSubModules = modules: uniq (type.substSubModules modules);
      functor = elemTypeFunctor name (payload: unique { inherit message; } payload.elemType) {
        elemType = type;
      };
      nestedTypes.elemType = type;
    };

  nullOr =
    elemType:
    mkOptionType rec {
      name = "nullOr";
      description = "null or ${
        optionDescriptionPhrase (class: class == "noun" || class == "conjunction") elemType
      }";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      merge =
        loc: defs:
        let
          nulls = filter (def: def.value == null) defs;
        in
        if length nulls == length defs then
          null
        else if nulls != [ ] then
          throw "The option `${showOption loc}` is defined both null and not null, in ${lib.showFiles (getFiles defs)}."
        else
          elemType.merge loc defs;
      emptyValue.value = null;
      getSubOptions = elemType.getSubOptions;
      getSubModules = elemType.getSubModules;
      substSubModules = modules: nullOr (elemType.substSubModules modules);
      functor = elemTypeFunctor name (payload: nullOr payload.elemType) { inherit elemType; };
      nestedTypes = { inherit elemType; };
    };

  functionTo =
    elemType:
    mkOptionType rec {
      name = "functionTo";
      description = "function that evaluates to a(n) ${compositePhrase elemType}";
      descriptionClass = "composite";
      check = lib.isFunction;
      merge =
        loc: defs:
        let
          argsOfAll = lib.mergeAttrsList (map (def: lib.functionArgs def.value) defs);
        in
        lib.setFunctionArgs (
          args:
          (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (
            map (def: {
              inherit (def) file;
              value = def.value args;
            }) defs
          )).mergedValue
        ) argsOfAll;
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
      getSubModules = elemType.getSubModules;
      substSubModules = modules: functionTo (elemType.substSubModules modules);
      functor = elemTypeFunctor name (payload: functionTo payload.elemType) { inherit elemType; };
      nestedTypes = { inherit elemType; };
    };

  either =
    first: second:
    mkOptionType rec {
      name = "either";
      description =
        let
          second' = optionDescriptionPhrase (class: class == "noun" || class == "conjunction") second;
        in
        if first.descriptionClass or null == "nonRestrictiveClause" then
          "${first.description}, or ${second'}"
        else
          "${
            optionDescriptionPhrase (class: class == "noun" || class == "conjunction") first
          } or ${second'}";
      descriptionClass = "conjunction";
      check = x: first.check x || second.check x;
      merge =
        loc: defs:
        let
          values = getValues defs;
        in
        if builtins.all first.check values then
          first.merge loc defs
        else if builtins.all second.check values then
          second.merge loc defs
        else
          mergeOneOption loc defs;
      functor = elemTypeFunctor name (payload: either payload.left payload.right) {
        left = first;
        right = second;
      };
      nestedTypes = {
        left = first;
        right = second;
      };
    };
  oneOf =
    list:
    if list == [ ] then
      throw "types.oneOf needs to get at least one type in its argument"
    else
      builtins.foldl' either (head list) (builtins.tail list);
  attrTag =
    choices:
    let
      names = concatStringsSep ", " (map lib.strings.escapeNixIdentifier (attrNames choices));
      chosen =
        tag: loc: defs:
        let
          here = loc ++ [ tag ];
          option = lib.modules.fixupOptionType here (
            choices.${tag}
            // {
              declarations = [ "<attrTag>" ];
              loc = here;
            }
          );
          values = map (def: def // { value = def.value.${tag}; }) defs;
        in
        (lib.modules.evalOptionValue here option values).value;
      pick =
        loc: defs:
        let
          tags = lib.unique (lib.concatMap (def: attrNames def.value) defs);
          tag = head tags;
        in
        if length tags == 1 && choices ? ${tag} then
          {
            ${tag} = chosen tag loc defs;
          }
        else
          throw "The option `${showOption loc}` is defined as ${concatStringsSep " and " tags}, but one of ${names} is expected. Definition values:${showDefs defs}";
    in
    mkOptionType {
      name = "attrTag";
      description = "attribute-tagged union with choices: ${names}";
      descriptionClass = "noun";
      check = value: isAttrs value && length (attrNames value) == 1;
      merge = pick;
      nestedTypes = mapAttrs (_: option: option.type) choices;
    };

  # Takes values of another type as well, after putting them through a function.
  coercedTo =
    coercedType: coerce: finalType:
    assert lib.assertMsg (coercedType.getSubModules == null)
      "coercedTo: coercedType must not have submodules (it’s a ${coercedType.description})";
    mkOptionType {
      name = "coercedTo";
      description = "${nounPhrase finalType} or ${nounPhrase coercedType} convertible to it";
      check = x: (coercedType.check x && finalType.check (coerce x)) || finalType.check x;
      merge =
        loc: defs:
        let
          coerceDef =
            def:
            if coercedType.check def.value then
              def
              // {
                value = coerce (coercedType.merge loc [ def ]);
              }
            else
              def;
        in
        finalType.merge loc (map coerceDef defs);
      inherit (finalType) emptyValue getSubOptions getSubModules;
      substSubModules = modules: coercedTo coercedType coerce (finalType.substSubModules modules);
      typeMerge = _: null;
      nestedTypes = { inherit coercedType finalType; };
    };

  addCheck = type: check: type // { check = x: type.check x && check x; };
}
