lib:
let
  inherit (builtins)
    concatMap
    concatStringsSep
    genList
    head
    isString
    length
    map
    match
    replaceStrings
    stringLength
    substring
    ;
  lower = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upper = lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
in
rec {
  inherit (builtins)
    compareVersions
    concatStringsSep
    elem
    elemAt
    filter
    fromJSON
    genList
    head
    isInt
    isList
    isAttrs
    isPath
    isString
    length
    match
    parseDrvName
    readFile
    replaceStrings
    split
    storeDir
    stringLength
    substring
    tail
    toJSON
    typeOf
    unsafeDiscardStringContext
    ;

  join = concatStringsSep;
  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStrings (map f list);
  concatImapStrings = f: list: concatStrings (lib.imap1 f list);
  intersperse =
    separator: list:
    if length list < 2 then
      list
    else
      [ (head list) ] ++ concatMap (x: [ separator x ]) (builtins.tail list);
  concatMapStringsSep =
    separator: f: list:
    concatStringsSep separator (map f list);
  concatImapStringsSep =
    separator: f: list:
    concatStringsSep separator (lib.imap1 f list);
  concatMapAttrsStringSep =
    separator: f: set:
    concatStringsSep separator (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (line: line + "\n");
  replicate = n: s: concatStrings (lib.lists.replicate n s);
  optionalString = condition: s: if condition then s else "";

  stringToCharacters = s: genList (i: substring i 1 s) (stringLength s);
  stringAsChars = f: s: concatStrings (map f (stringToCharacters s));
  toLower = replaceStrings upper lower;
  toUpper = replaceStrings lower upper;
  toSentenceCase =
    s: if s == "" then s else toUpper (substring 0 1 s) + toLower (substring 1 (stringLength s) s);
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix =
    suffix: s:
    let
      n = stringLength suffix;
      total = stringLength s;
    in
    total >= n && substring (total - n) total s == suffix;
  hasInfix =
    infix: s:
    builtins.length (builtins.split (escapeRegex infix) (builtins.unsafeDiscardStringContext "${s}")) > 1;
  removePrefix =
    prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  removeSuffix =
    suffix: s: if hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  commonPrefixLength =
    a: b:
    let
      shorter = lib.min (stringLength a) (stringLength b);
      go = i: if i >= shorter || substring i 1 a != substring i 1 b then i else go (i + 1);
    in
    go 0;
  trim = trimWith {
    start = true;
    end = true;
  };
  trimWith =
    {
      start ? false,
      end ? false,
    }:
    s:
    let
      blank = " \t\r\n";
      regex =
        if start && end then
          "[${blank}]*(.*[^${blank}])[${blank}]*"
        else if start then
          "[${blank}]*(.*)"
        else if end then
          "(.*[^${blank}])[${blank}]*"
        else
          "(.*)";
      found = match regex s;
    in
    if found == null then "" else head found;
  normalizePath = s: replaceStrings [ "//" ] [ "/" ] s;
  fixedWidthString =
    width: filler: s:
    let
      missing = width - stringLength s;
    in
    if missing < 0 then
      throw "fixedWidthString: `${s}' is longer than ${toString width} characters"
    else if missing == 0 then
      s
    else
      filler + fixedWidthString (width - stringLength filler) filler s;
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);

  splitString =
    separator: s:
    let
      plain = builtins.unsafeDiscardStringContext s;
      context = substring 0 0 s;
    in
    map (piece: context + piece) (
      builtins.filter isString (builtins.split (escapeRegex separator) plain)
    );
  splitStringBy =
    p: keep: s:
    let
      chars = stringToCharacters s;
      step =
        acc: c:
        if p acc.last c then
          {
            done = acc.done ++ [ acc.current ];
            current = if keep then c else "";
            last = c;
          }
        else
          acc
          // {
            current = acc.current + c;
            last = c;
          };
      end = builtins.foldl' step {
        done = [ ];
        current = "";
        last = "";
      } chars;
    in
    end.done ++ [ end.current ];
  nameFromURL = url: separator: head (splitString separator (lib.last (splitString "/" url)));

  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    arg:
    let
      s = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" s == null then "'${replaceStrings [ "'" ] [ "'\\''" ] s}'" else s;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;
  toShellVar =
    name: value:
    if builtins.isAttrs value && !isStringLike value then
      "declare -A ${name}=(${
        concatStringsSep " " (lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value)
      })"
    else if builtins.isList value then
      "declare -a ${name}=(${escapeShellArgs value})"
    else
      "${name}=${escapeShellArg value}";
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList toShellVar vars);
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeNixIdentifier =
    s: if match "[a-zA-Z_][a-zA-Z0-9_'-]*" s != null && !(builtins.elem s keywords) then s else escapeNixString s;
  keywords = [
    "assert"
    "else"
    "if"
    "in"
    "inherit"
    "let"
    "or"
    "rec"
    "then"
    "with"
  ];
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  # Every printable ASCII character that RFC 3986 does not leave unreserved.
  escapeURL =
    let
      reserved = lib.stringToCharacters " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}";
      codes = lib.splitString " " (
        "20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2F 3A 3B 3C 3D 3E 3F 40 5B 5C 5D 5E 60 7B 7C 7D"
      );
    in
    replaceStrings reserved (map (code: "%${code}") codes);
  addContextFrom = from: to: substring 0 0 from + to;

  lines = s: splitString "\n" s;
  makeSearchPath =
    sub: paths: concatStringsSep ":" (map (path: path + "/" + sub) (builtins.filter (x: x != null) paths));
  makeSearchPathOutput =
    output: sub: pkgs:
    makeSearchPath sub (map (lib.getOutput output) pkgs);
  makeBinPath = makeSearchPathOutput "bin" "bin";
  makeLibraryPath = makeSearchPathOutput "lib" "lib";
  makeIncludePath = makeSearchPathOutput "dev" "include";

  getName =
    let
      parse = drv: (builtins.parseDrvName drv).name;
    in
    x: if isString x then parse x else x.pname or (parse x.name);
  getVersion =
    let
      parse = drv: (builtins.parseDrvName drv).version;
    in
    x: if isString x then parse x else x.version or (parse x.name);
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !versionOlder a b;
  sanitizeDerivationName =
    s:
    let
      plain = builtins.unsafeDiscardStringContext s;
      parts = builtins.split "[^[:alnum:]+._?=-]+" (head (match "\\.*(.*)" plain));
      clean = concatMapStrings (part: if builtins.isList part then "-" else part) parts;
    in
    if clean == "" then "unknown" else substring (lib.max (stringLength clean - 207) 0) (-1) clean;

  isStringLike = x: isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isCoercibleToString = x: isConvertibleWithToString x;
  isConvertibleWithToString =
    x:
    isStringLike x
    || builtins.elem (builtins.typeOf x) [
      "null"
      "int"
      "float"
      "bool"
    ]
    || (builtins.isList x && builtins.all isConvertibleWithToString x);
  isSimpleString = isString;
  isStorePath =
    x:
    isStringLike x
    && (
      let
        s = toString x;
      in
      substring 0 1 s == "/" && dirOf s == builtins.storeDir
    );

  toInt =
    s:
    let
      found = match "[[:space:]]*(-?[[:digit:]]+)[[:space:]]*" s;
      digits = head found;
    in
    if found == null then
      throw "toInt: Could not convert ${escapeNixString s} to int."
    else if match "-?0[[:digit:]]+" digits != null then
      throw "toInt: Ambiguity in interpretation of ${escapeNixString s} between octal and zero padded integer."
    else
      builtins.fromJSON digits;
  toIntBase10 =
    s:
    let
      found = match "[[:space:]]*0*(-?[[:digit:]]+)[[:space:]]*" s;
    in
    if found == null then
      throw "toIntBase10: Could not convert ${escapeNixString s} to int."
    else
      builtins.fromJSON (head found);
  floatToString =
    f:
    let
      exact = builtins.toJSON f;
    in
    if builtins.fromJSON exact == builtins.fromJSON (toString f) then toString f else exact;
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  readPathsFromFile =
    root: file:
    map (line: root + "/${line}") (
      builtins.filter (line: line != "" && !hasPrefix "#" line) (lines (fileContents file))
    );

  # Options, as `configure`, CMake and Meson take them.
  enableFeature = flag: feature: "--${if flag then "enable" else "disable"}-${feature}";
  withFeature = flag: feature: "--${if flag then "with" else "without"}-${feature}";
  cmakeBool = name: flag: "-D${name}:BOOL=${lib.toUpper (lib.boolToString flag)}";
  mesonOption = name: value: "-D${name}=${value}";
  mesonEnable = name: flag: "-D${name}=${if flag then "enabled" else "disabled"}";
  cmakeFeature = name: value: "-D${name}:STRING=${value}";
  enableFeatureAs = flag: feature: value: enableFeature flag feature + optionalString flag "=${value}";
  withFeatureAs = flag: feature: value: withFeature flag feature + optionalString flag "=${value}";
  mesonBool = name: flag: "-D${name}=${lib.boolToString flag}";

  levenshtein =
    a: b:
    let
      columns = lib.range 0 (stringLength b);
      char = s: i: substring i 1 s;
      # One row of the table after another, each a list.
      step =
        row: i:
        builtins.foldl' (
          acc: j:
          acc
          ++ [
            (builtins.foldl' lib.min (lib.last acc + 1) [
              (builtins.elemAt row j + 1)
              (builtins.elemAt row (j - 1) + (if char a (i - 1) == char b (j - 1) then 0 else 1))
            ])
          ]
        ) [ i ] (builtins.tail columns);
    in
    lib.last (builtins.foldl' step columns (lib.range 1 (stringLength a)));
}
