lib: rec {
  isType = type: value: value._type or "" == type;
  setType = typeName: value: value // { _type = typeName; };
  isOptionType = isType "option-type";

  # Two declarations of one option merge if their types have one name and their payloads
  # (what the type was made from) go together.
  defaultTypeMerge =
    a: b:
    let
      payload = a.binOp a.payload b.payload;
    in
    if a.name != b.name then
      null
    else if a.payload == null || b.payload == null then
      if a.payload == null && b.payload == null then a.type else null
    else if payload == null then
      null
    else
      a.type payload;
  defaultFunctor = name: {
    inherit name;
    type = lib.types.${name} or null;
    wrapped = null;
    payload = null;
    binOp = _: _: null;
  };
  # The functor of a type made from other types by name: merges each of them.
  elemTypeFunctor = name: make: args: {
    inherit name;
    type = make;
    wrapped = args.elemType or null;
    payload = args;
    binOp =
      a: b:
      let
        merged = builtins.mapAttrs (key: type: type.typeMerge b.${key}.functor) a;
      in
      if builtins.any (type: type == null) (builtins.attrValues merged) then null else merged;
  };

  # A phrase for a type inside another one's description, in parentheses where it needs them.
  optionDescriptionPhrase =
    isPlain: type:
    if isPlain (type.descriptionClass or null) then
      type.description or "undefined"
    else
      "(${type.description or "undefined"})";
  nounPhrase = optionDescriptionPhrase (class: class == "noun");
  compositePhrase = optionDescriptionPhrase (class: class == "noun" || class == "composite");

  mkOptionType =
    {
      name,
      description ? null,
      descriptionClass ? null,
      check ? (_: true),
      merge ? lib.options.mergeDefaultOption,
      emptyValue ? { },
      getSubOptions ? (_: { }),
      getSubModules ? null,
      substSubModules ? (_: null),
      typeMerge ? defaultTypeMerge functor,
      functor ? defaultFunctor name,
      deprecationMessage ? null,
      nestedTypes ? { },
    }:
    {
      _type = "option-type";
      inherit
        name
        descriptionClass
        check
        merge
        emptyValue
        getSubOptions
        getSubModules
        substSubModules
        typeMerge
        deprecationMessage
        nestedTypes
        ;
      description = if description == null then name else description;
      inherit functor;
    };

  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    descriptionClass = "noun";
    check = value: value._type or null == "option-type";
    merge =
      loc: defs:
      if builtins.length defs == 1 then
        (builtins.head defs).value
      else
        let
          # Several types for one option merge as if each declared it.
          modules = map (
            { value, file, ... }:
            {
              _file = file;
              options = lib.mkOption { type = value; };
            }
          ) defs;
        in
        (lib.modules.fixupOptionType loc (lib.modules.mergeOptionDecls loc modules)).type;
  };
}
