lib:
let
  inherit (builtins)
    all
    concatMap
    concatStringsSep
    filter
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    ;
  inherit (lib) showOption showDefs;
  prioritySuggestion = ''
    Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.
  '';
in
rec {
  isOption = lib.isType "option";
  mkOption = attrs: attrs // { _type = "option"; };

  mkEnableOption =
    name:
    mkOption {
      default = false;
      example = true;
      description = "Whether to enable ${name}.";
      type = lib.types.bool;
    };

  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      shownName = if isList name then lib.last name else name;
      path = lib.toList default;
      text = "${pkgsText}.${lib.showAttrPath path}";
      optionalType = if nullable then lib.types.nullOr lib.types.package else lib.types.package;
    in
    mkOption (
      {
        description =
          "The ${shownName} package to use."
          + lib.optionalString (extraDescription != "") " ${extraDescription}";
        type = optionalType;
      }
      // (
        if default != null then
          {
            default = lib.attrByPath path (throw "${lib.showAttrPath path} cannot be found in ${pkgsText}") pkgs;
            defaultText = literalExpression text;
          }
        else
          lib.optionalAttrs nullable { default = null; }
      )
      // lib.optionalAttrs (example != null) {
        example = literalExpression (
          if isList example then "${pkgsText}.${lib.showAttrPath example}" else example
        );
      }
    );
  mkPackageOptionMD = mkPackageOption;

  # An option that takes every definition and yields nothing: for tests of other modules.
  mkSinkUndeclaredOptions =
    attrs:
    mkOption (
      {
        internal = true;
        visible = false;
        default = false;
        description = "Sink for option definitions that nothing declares.";
        type = lib.mkOptionType {
          name = "sink";
          check = _: true;
          merge = _: _: false;
        };
        apply = _: throw "Option value is not readable because the option is not declared.";
      }
      // attrs
    );

  getValues = map (def: def.value);
  getFiles = map (def: def.file);

  # How values of no particular type go together.
  mergeDefaultOption =
    loc: defs:
    let
      values = getValues defs;
    in
    if length values == 1 then
      head values
    else if all isFunction values then
      x: mergeDefaultOption loc (map (def: def // { value = def.value x; }) defs)
    else if all isList values then
      builtins.concatLists values
    else if all isAttrs values then
      lib.mergeAttrsList values
    else if all isBool values then
      builtins.any lib.id values
    else if all isString values then
      lib.concatStrings values
    else if all isInt values && all (v: v == head values) values then
      head values
    else
      throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";

  mergeOneOption = mergeUniqueOption { message = ""; };
  mergeUniqueOption =
    args@{
      message,
      merge ? null,
    }:
    loc: defs:
    if length defs == 1 then
      if merge == null then (head defs).value else merge loc defs
    else
      builtins.seq args (
        throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\n${message}\nDefinition values:${showDefs defs}\n${prioritySuggestion}"
      );
  mergeEqualOption =
    loc: defs:
    let
      first = head defs;
      agree =
        def:
        def.value == first.value
        || throw "The option `${showOption loc}' has conflicting definition values:${
          showDefs [
            first
            def
          ]
        }\n${prioritySuggestion}";
    in
    if defs == [ ] then
      abort "This case should never happen."
    else if length defs == 1 then
      first.value
    else
      builtins.seq (all agree (builtins.tail defs)) first.value;

  literalExpression =
    text:
    if isString text then
      {
        _type = "literalExpression";
        inherit text;
      }
    else
      throw "literalExpression expects a string.";
  literalExample = literalExpression;
  literalCode = text: literalExpression text;
  literalMD =
    text:
    if isString text then
      {
        _type = "literalMD";
        inherit text;
      }
    else
      throw "literalMD expects a string.";
  literalDocBook = text: literalMD text;
  mdDoc = text: text;
  renderOptionValue =
    v: if v ? _type && v ? text then v else literalExpression (lib.generators.toPretty { allowPrettyValues = true; } v);

  # An option's path as people write it: `a.b."c.d".<name>`.
  showOption =
    parts:
    let
      isPlaceholder = s: lib.hasPrefix "<" s && lib.hasSuffix ">" s;
      show = part: if part == "*" || isPlaceholder part then part else lib.strings.escapeNixIdentifier part;
    in
    concatStringsSep "." (map show parts);
  showFiles = files: concatStringsSep " and " (map (file: "`${file}'") files);

  # One line per definition: where it is and, if it can be printed, what it is.
  showDefs =
    defs:
    let
      printed =
        value:
        builtins.tryEval (
          lib.generators.toPretty { } (
            lib.generators.withRecursion {
              depthLimit = 10;
              throwOnDepthLimit = false;
            } value
          )
        );
      short =
        text:
        let
          lines = filter isString (builtins.split "\n" text);
          shown = lib.take 5 lines ++ lib.optional (length lines > 5) "...";
        in
        (if length lines > 1 then ":\n    " else ": ") + concatStringsSep "\n    " shown;
      show =
        def:
        let
          attempt = printed def.value;
        in
        "\n- In `${def.file}'${lib.optionalString attempt.success (short attempt.value)}";
    in
    lib.concatMapStrings show defs;
  showOptionWithDefLocs = opt: ''
    ${showOption opt.loc}, with values defined in:
    ${lib.concatMapStringsSep "\n" (file: "  - ${file}") opt.files}
  '';

  # Every option of a tree with what its documentation needs, submodules' options included.
  optionAttrSetToDocList = optionAttrSetToDocList' [ ];
  optionAttrSetToDocList' =
    _: options:
    let
      document =
        opt:
        let
          entry = {
            inherit (opt) loc;
            name = showOption opt.loc;
            description = opt.description or null;
            declarations = filter (file: file != lib.modules.unknownModule) opt.declarations;
            internal = opt.internal or false;
            visible = opt.visible or true;
            readOnly = opt.readOnly or false;
            type = opt.type.description or "unspecified";
          }
          // lib.optionalAttrs (opt ? example) { example = renderOptionValue opt.example; }
          // lib.optionalAttrs (opt ? default) {
            default = renderOptionValue (opt.defaultText or opt.default);
          };
          nested = opt.type.getSubOptions opt.loc;
        in
        [ entry ] ++ lib.optionals (nested != { }) (optionAttrSetToDocList' opt.loc nested);
    in
    concatMap document (lib.collect isOption options);
  scrubOptionValue =
    x:
    if lib.isDerivation x then
      { type = "derivation"; drvPath = x.name; outPath = x.name; inherit (x) name; }
    else if isList x then
      map scrubOptionValue x
    else if isAttrs x then
      builtins.mapAttrs (_: scrubOptionValue) (removeAttrs x [ "_args" ])
    else
      x;
  unknownModule = lib.modules.unknownModule;
}
