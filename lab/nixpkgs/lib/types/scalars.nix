# Types of single values.
lib: base:
let
  inherit (builtins)
    elem
    head
    isAttrs
    isBool
    isFloat
    isInt
    isString
    length
    match
    ;
  inherit (base) mkOptionType;
  inherit (lib.options)
    getValues
    mergeEqualOption
    mergeOneOption
    showOption
    ;
  inherit (lib) types;

  noun =
    name: description: check:
    mkOptionType {
      inherit name description check;
      descriptionClass = "noun";
      merge = mergeEqualOption;
    };
  betweenDesc = low: high: "${toString low} and ${toString high} (both inclusive)";
in
rec {
  raw = mkOptionType {
    name = "raw";
    description = "raw value";
    descriptionClass = "noun";
    check = _: true;
    merge = mergeOneOption;
  };
  unspecified = mkOptionType {
    name = "unspecified";
    description = "unspecified value";
    descriptionClass = "noun";
  };

  # Sets merge member by member, everything else must be equal.
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    descriptionClass = "noun";
    check = _: true;
    merge =
      loc: defs:
      let
        kind =
          value:
          if isAttrs value && lib.strings.isStringLike value then
            "stringCoercibleSet"
          else
            builtins.typeOf value;
        kinds = lib.unique (map (def: kind def.value) defs);
        commonKind =
          if length kinds == 1 then
            head kinds
          else
            throw "The option `${showOption loc}' has conflicting option types in ${
              lib.showFiles (lib.options.getFiles defs)
            }";
        mergeByKind = {
          set = loc: defs: (types.lazyAttrsOf anything).merge loc defs;
          stringCoercibleSet = mergeOneOption;
          lambda =
            loc: defs: x:
            anything.merge (loc ++ [ "<function body>" ]) (
              map (def: {
                inherit (def) file;
                value = def.value x;
              }) defs
            );
        };
      in
      (mergeByKind.${commonKind} or mergeEqualOption) loc defs;
  };

  bool = noun "bool" "boolean" isBool;
  boolByOr = mkOptionType {
    name = "boolByOr";
    description = "boolean (merged using or)";
    descriptionClass = "noun";
    check = isBool;
    merge = _: defs: builtins.any lib.id (getValues defs);
  };

  int = noun "int" "signed integer" isInt;
  ints =
    let
      between =
        low: high:
        assert lib.assertMsg (low <= high) "ints.between: lowest must be smaller than highest";
        types.addCheck int (x: x >= low && x <= high)
        // {
          name = "intBetween";
          description = "integer between ${betweenDesc low high}";
        };
      sized =
        bits: low: high: kind:
        between low high
        // {
          name = "${kind}${toString bits}";
          description = "${toString bits} bit ${
            if kind == "signedInt" then "signed" else "unsigned"
          } integer; between ${betweenDesc low high}";
        };
      unsigned = bits: power: sized bits 0 (power - 1) "unsignedInt";
      signed = bits: power: sized bits (0 - power / 2) (power / 2 - 1) "signedInt";
    in
    {
      inherit between;
      unsigned = types.addCheck int (x: x >= 0) // {
        name = "unsignedInt";
        description = "unsigned integer, meaning >=0";
        descriptionClass = "nonRestrictiveClause";
      };
      positive = types.addCheck int (x: x > 0) // {
        name = "positiveInt";
        description = "positive integer, meaning >0";
        descriptionClass = "nonRestrictiveClause";
      };
      u8 = unsigned 8 256;
      u16 = unsigned 16 65536;
      u32 = unsigned 32 4294967296;
      s8 = signed 8 256;
      s16 = signed 16 65536;
      s32 = signed 32 4294967296;
    };
  port = ints.u16;
  float = noun "float" "floating point number" isFloat;
  number = types.either int float;
  numbers = {
    between =
      low: high:
      types.addCheck number (x: x >= low && x <= high)
      // {
        name = "numberBetween";
        description = "integer or floating point number between ${betweenDesc low high}";
      };
    nonnegative = types.addCheck number (x: x >= 0) // {
      name = "numberNonnegative";
      description = "nonnegative integer or floating point number, meaning >=0";
      descriptionClass = "nonRestrictiveClause";
    };
    positive = types.addCheck number (x: x > 0) // {
      name = "numberPositive";
      description = "positive integer or floating point number, meaning >0";
      descriptionClass = "nonRestrictiveClause";
    };
  };

  str = noun "str" "string" isString;
  string = separatedString "" // {
    name = "string";
    deprecationMessage = "See https://github.com/NixOS/nixpkgs/pull/66346 for better alternative types.";
  };
  nonEmptyStr = noun "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);
  strMatching =
    pattern:
    noun "strMatching ${lib.strings.escapeNixString pattern}" "string matching the pattern ${pattern}" (
      x: isString x && match pattern x != null
    )
    // {
      functor = base.defaultFunctor "strMatching" // {
        type = payload: strMatching payload.pattern;
        payload = { inherit pattern; };
        binOp = a: b: if a == b then a else null;
      };
    };
  # At most one line break, at the end, which does not become part of the value.
  singleLineStr =
    let
      pattern = "[^\n\r]*\n?";
      inner = strMatching pattern;
    in
    inner
    // {
      name = "singleLineStr";
      description = "(optionally newline-terminated) single-line string";
      merge = loc: defs: lib.removeSuffix "\n" (inner.merge loc defs);
    };
  separatedString =
    separator:
    mkOptionType rec {
      name = "separatedString";
      description = "strings concatenated with ${builtins.toJSON separator}";
      descriptionClass = "noun";
      check = isString;
      merge = _: defs: builtins.concatStringsSep separator (getValues defs);
      functor = base.defaultFunctor name // {
        type = payload: separatedString payload.sep;
        payload = {
          sep = separator;
        };
        binOp = a: b: if a.sep == b.sep then a else null;
      };
    };
  lines = separatedString "\n";
  commas = separatedString ",";
  envVar = separatedString ":";
  passwdEntry =
    entryType:
    types.addCheck entryType (s: !(lib.hasInfix ":" s || lib.hasInfix "\n" s))
    // {
      name = "passwdEntry ${entryType.name}";
      description = "${base.nounPhrase entryType}, not containing newlines or colons";
      descriptionClass = "nonRestrictiveClause";
    };

  enum =
    values:
    let
      show =
        value:
        if isString value then
          ''"${value}"''
        else if isInt value then
          toString value
        else if isBool value then
          lib.boolToString value
        else
          "<${builtins.typeOf value}>";
    in
    mkOptionType rec {
      name = "enum";
      description =
        if values == [ ] then
          "impossible (empty enum)"
        else if length values == 1 then
          "value ${show (head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " show values}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = value: elem value values;
      merge = mergeEqualOption;
      functor = base.defaultFunctor name // {
        type = payload: enum payload.values;
        payload = { inherit values; };
        binOp = a: b: { values = lib.unique (a.values ++ b.values); };
      };
    };

  # A derivation, or the path of something that is in the store already.
  package = mkOptionType {
    name = "package";
    descriptionClass = "noun";
    check = x: lib.isDerivation x || lib.isStorePath x;
    merge =
      loc: defs:
      let
        value = mergeOneOption loc defs;
      in
      if
        builtins.isPath value || (isString value && !builtins.hasContext value)
      then
        lib.toDerivation value
      else
        value;
  };
  shellPackage = package // {
    check = x: lib.isDerivation x && x ? shellPath;
  };
  pkgs = types.addCheck (mkOptionType {
    name = "pkgs";
    description = "Nixpkgs package set";
    descriptionClass = "noun";
    merge = mergeOneOption;
  }) (x: isAttrs x && x._type or null == "pkgs");
  fileset = raw;

  path = pathWith { absolute = true; };
  pathInStore = pathWith { inStore = true; };
  externalPath = pathWith {
    absolute = true;
    inStore = false;
  };
  pathWith =
    {
      inStore ? null,
      absolute ? null,
    }:
    let
      isInStore = x: lib.hasPrefix "${builtins.storeDir}/" x && x != "${builtins.storeDir}/";
      words =
        lib.optional (absolute != null) (if absolute then "absolute" else "relative")
        ++ [ "path" ]
        ++ lib.optional (inStore != null) "${if inStore then "" else "not "}in the Nix store";
    in
    mkOptionType {
      name = "path";
      description = builtins.concatStringsSep " " words;
      descriptionClass = "noun";
      check =
        x:
        let
          s = toString x;
        in
        lib.strings.isStringLike x
        && (absolute == null || absolute == lib.hasPrefix "/" s)
        && (inStore == null || inStore == isInStore s);
      merge = mergeEqualOption;
    };

  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    descriptionClass = "noun";
    check = isAttrs;
    merge = _: defs: lib.mergeAttrsList (getValues defs);
    emptyValue.value = { };
  };
}
