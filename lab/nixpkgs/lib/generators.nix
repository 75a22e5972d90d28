lib:
let
  inherit (builtins)
    concatStringsSep
    isAttrs
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    match
    ;
in
rec {
  mkValueStringDefault =
    _: v:
    if isInt v || isString v then
      toString v
    else if lib.isDerivation v then
      toString v
    else if v == true then
      "true"
    else if v == false then
      "false"
    else if v == null then
      "null"
    else if isFloat v then
      lib.strings.floatToString v
    else
      throw "generators.mkValueStringDefault: ${builtins.typeOf v}s not supported: ${toPretty { } v}";

  mkKeyValueDefault =
    {
      mkValueString ? mkValueStringDefault { },
    }:
    separator: k: v:
    "${lib.escape [ separator ] k}${separator}${mkValueString v}";

  toKeyValue =
    {
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
      indent ? "",
    }:
    let
      line = k: v: indent + mkKeyValue k v + "\n";
      entries = k: v: map (line k) (if listsAsDuplicateKeys && isList v then v else [ v ]);
    in
    attrs: lib.concatStrings (builtins.concatLists (lib.mapAttrsToList entries attrs));

  toINI =
    {
      mkSectionName ? (name: lib.escape [ "[" "]" ] name),
      mkKeyValue ? mkKeyValueDefault { } "=",
      listsAsDuplicateKeys ? false,
    }:
    sections:
    concatStringsSep "\n" (
      lib.mapAttrsToList (
        name: values:
        "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values
      ) sections
    );

  toINIWithGlobalSection =
    options:
    {
      globalSection,
      sections ? { },
    }:
    let
      global = toKeyValue (removeAttrs options [ "mkSectionName" ]) globalSection;
    in
    (if globalSection == { } then "" else global + "\n") + toINI options sections;

  toJSON = _: builtins.toJSON;
  # JSON is YAML.
  toYAML = _: builtins.toJSON;

  toTOML =
    let
      key = k: if match "[A-Za-z0-9_-]+" k != null then k else builtins.toJSON k;
      scalar =
        v:
        if isList v then
          "[${lib.concatMapStringsSep ", " scalar v}]"
        else if isAttrs v && !lib.isDerivation v then
          "{ ${concatStringsSep ", " (lib.mapAttrsToList (n: x: "${key n} = ${scalar x}") v)} }"
        else if isString v || lib.isDerivation v || isPath v then
          builtins.toJSON (toString v)
        else if isFloat v then
          lib.strings.floatToString v
        else
          builtins.toJSON v;
      isTable = v: isAttrs v && !lib.isDerivation v;
      table =
        path: values:
        let
          plain = lib.filterAttrs (_: v: !isTable v && v != null) values;
          nested = lib.filterAttrs (_: isTable) values;
          isShown = path != [ ] && (plain != { } || nested == { });
          header = lib.optional isShown "[${lib.concatMapStringsSep "." key path}]";
        in
        header
        ++ lib.mapAttrsToList (n: v: "${key n} = ${scalar v}") plain
        ++ builtins.concatLists (lib.mapAttrsToList (n: v: table (path ++ [ n ]) v) nested);
    in
    values: lib.concatLines (table [ ] values);

  # Any value as Nix, for people to read.
  toPretty =
    {
      multiline ? true,
      indent ? "",
      allowPrettyValues ? false,
    }:
    let
      go =
        indent: v:
        let
          outer = if multiline then "\n${indent}" else " ";
          inner = if multiline then "\n${indent}  " else " ";
          nested = go "${indent}  ";
        in
        if isInt v then
          toString v
        else if isFloat v then
          builtins.toJSON v
        else if isString v then
          string outer inner v
        else if v == true then
          "true"
        else if v == false then
          "false"
        else if v == null then
          "null"
        else if isPath v then
          toString v
        else if isList v then
          if v == [ ] then
            "[ ]"
          else
            "[${inner}${lib.concatMapStringsSep inner nested v}${outer}]"
        else if isFunction v then
          function v
        else if isAttrs v then
          if allowPrettyValues && v ? __pretty && v ? val then
            v.__pretty v.val
          else if v == { } then
            "{ }"
          else if lib.isDerivation v then
            "<derivation ${v.name or "???"}>"
          else if v ? __functor then
            function v
          else
            "{${inner}${
              concatStringsSep inner (
                lib.mapAttrsToList (
                  n: x:
                  "${lib.strings.escapeNixIdentifier n} = ${
                    builtins.addErrorContext "while evaluating an attribute `${n}`" (nested x)
                  };"
                ) v
              )
            }${outer}}"
        else
          throw "generators.toPretty: should never happen (v = ${v})";
      function =
        f:
        let
          args = lib.functionArgs f;
          show = name: hasDefault: name + lib.optionalString hasDefault "?";
        in
        if args == { } then
          "<function>"
        else
          "<function, args: {${concatStringsSep ", " (lib.mapAttrsToList show args)}}>";
      string =
        outer: inner: s:
        let
          lines = lib.splitString "\n" s;
          escaped = builtins.replaceStrings [ "\${" "''" ] [ "''\${" "'''" ] s;
          block = "''${inner}${concatStringsSep inner (lib.init (lib.splitString "\n" escaped))}";
          end = lib.last (lib.splitString "\n" escaped);
        in
        if !multiline || builtins.length lines <= 1 then
          lib.strings.escapeNixString s
        else
          block + (if end == "" then outer else inner + end) + "''";
    in
    go indent;

  # Replaces what lies deeper than the limit, so that printing a value ends.
  withRecursion =
    {
      depthLimit,
      throwOnDepthLimit ? true,
    }:
    let
      special = [
        "__functor"
        "__functionArgs"
        "__toString"
        "__pretty"
      ];
      cut =
        if throwOnDepthLimit then
          throw "generators.withRecursion: deeper than ${toString depthLimit} levels"
        else
          "<unevaluated>";
      transform =
        depth:
        if depthLimit != null && depth > depthLimit then
          _: cut
        else
          lib.id;
      go =
        depth: v:
        let
          nested = x: go (depth + 1) (transform (depth + 1) x);
        in
        if isAttrs v then
          if lib.isDerivation v then
            v
          else
            builtins.mapAttrs (n: x: if builtins.elem n special then x else nested x) v
        else if isList v then
          map nested v
        else
          v;
    in
    go 0;

  toGitINI =
    attrs:
    let
      section =
        name:
        let
          parts = lib.splitString "." name;
          sub = concatStringsSep "." (builtins.tail parts);
        in
        if builtins.length parts < 2 then name else "${builtins.head parts} \"${sub}\"";
      value = v: if isString v then builtins.toJSON v else mkValueStringDefault { } v;
      line = k: v: "\t${k} = ${value v}\n";
      flat =
        path: values:
        let
          plain = lib.filterAttrs (_: v: !isAttrs v) values;
          nested = lib.filterAttrs (_: isAttrs) values;
        in
        lib.optional (plain != { }) "[${section (concatStringsSep "." path)}]\n${
          lib.concatStrings (
            builtins.concatLists (lib.mapAttrsToList (k: v: map (line k) (lib.toList v)) plain)
          )
        }"
        ++ builtins.concatLists (lib.mapAttrsToList (n: v: flat (path ++ [ n ]) v) nested);
    in
    concatStringsSep "\n" (flat [ ] attrs);
}
