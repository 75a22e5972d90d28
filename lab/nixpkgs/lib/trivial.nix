_: rec {
  id = x: x;
  const = x: _: x;
  flip =
    f: a: b:
    f b a;
  pipe = builtins.foldl' (value: f: f value);
  mergeAttrs = a: b: a // b;
  and = a: b: a && b;
  or = a: b: a || b;
  xor = a: b: a != b;
  bitNot = builtins.sub (-1);
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";
  mapNullable = f: value: if value == null then null else f value;
  defaultTo = fallback: value: if value == null then fallback else value;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = base: int: base - (int * (builtins.div base int));
  compare =
    a: b:
    if a < b then
      -1
    else if a > b then
      1
    else
      0;
  splitByAndCompare =
    p: yes: no: a: b:
    if p a then
      if p b then yes a b else -1
    else if p b then
      1
    else
      no a b;

  # The release whose module behaviour this library follows.
  release = "24.11";
  oldestSupportedRelease = 2405;
  isInOldestRelease = oldestSupportedReleaseIsAtLeast;
  oldestSupportedReleaseIsAtLeast = release: release <= oldestSupportedRelease;
  version = release + versionSuffix;
  versionSuffix = "";
  codeName = "Stand-in";
  revisionWithDefault = default: default;
  inNixShell = builtins.getEnv "IN_NIX_SHELL" != "";
  inPureEvalMode = !builtins ? currentSystem;
  nixpkgsVersion = version;

  warn =
    message: value:
    builtins.trace "evaluation warning: ${message}" value;
  warnIf = condition: message: if condition then warn message else id;
  warnIfNot = condition: warnIf (!condition);
  info = message: value: builtins.trace "INFO: ${message}" value;
  showWarnings = warnings: value: builtins.foldl' (x: w: warn w x) value warnings;
  throwIf = condition: message: if condition then throw message else id;
  throwIfNot = condition: throwIf (!condition);

  # Functions that are attribute sets (`__functor`) count as functions too.
  isFunction = f: builtins.isFunction f || (f ? __functor && isFunction (f.__functor f));
  functionArgs =
    f:
    if f ? __functor then
      f.__functionArgs or (functionArgs (f.__functor f))
    else
      builtins.functionArgs f;
  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  fakeSha256 = "0000000000000000000000000000000000000000000000000000000000000000";
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  toFunction = value: if isFunction value then value else _: value;
  mirrorFunctionArgs = f: setFunctionArgs' (functionArgs f);
  setFunctionArgs' = args: f: setFunctionArgs f args;

  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: fromTOML (builtins.readFile path);

  toHexString =
    value:
    let
      digits = builtins.map (d: builtins.substring d 1 "0123456789ABCDEF") (toBaseDigits 16 value);
    in
    builtins.concatStringsSep "" digits;
  toBaseDigits =
    base: value:
    let
      go =
        n: digits:
        if n < base then
          [ n ] ++ digits
        else
          go (n / base) ([ (mod n base) ] ++ digits);
    in
    go value [ ];
}
