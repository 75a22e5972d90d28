# What modules need besides the library: the `utils` argument.
{ lib }:
rec {
  # As `systemd-escape --path` does it.
  escapeSystemdPath =
    path:
    let
      trimmed = lib.concatStringsSep "/" (
        builtins.filter (part: part != "" && part != ".") (lib.splitString "/" path)
      );
      dotFirst = lib.optionalString (lib.hasPrefix "." trimmed) "\\x2e";
      rest = lib.removePrefix "." trimmed;
      isPlain = c: builtins.match "[A-Za-z0-9:_.]" c != null;
      escapeChar =
        c:
        if c == "/" then
          "-"
        else if isPlain c then
          c
        else
          "\\x${lib.toLower (hex c)}";
    in
    if trimmed == "" then "-" else dotFirst + lib.stringAsChars escapeChar rest;
  hex =
    let
      ascii = lib.stringToCharacters " !\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~";
      codes = lib.splitString " " (
        "20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F 3A 3B 3C 3D 3E 3F 40 5B 5C 5D 5E 60 7B 7C 7D 7E"
      );
      table = lib.listToAttrs (lib.zipListsWith lib.nameValuePair ascii codes);
    in
    c: table.${c} or (throw "cannot escape `${c}' for systemd");

  # One argument of an Exec line: `%` and `$` mean something to systemd.
  escapeSystemdExecArg =
    arg:
    builtins.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (
      builtins.toJSON (if lib.strings.isStringLike arg then "${arg}" else toString arg)
    );
  escapeSystemdExecArgs = lib.concatMapStringsSep " " escapeSystemdExecArg;

  toShellPath =
    shell:
    let
      inPackage = shell.shellPath or "/bin/${shell.meta.mainProgram or shell.name}";
    in
    if lib.isDerivation shell then "/run/current-system/sw${inPackage}" else toString shell;
  pathsNeededForBoot = [
    "/"
    "/nix"
    "/nix/store"
    "/var"
    "/var/log"
    "/var/lib"
    "/etc"
    "/usr"
  ];
  fsNeededForBoot = fs: fs.neededForBoot or false || builtins.elem fs.mountPoint pathsNeededForBoot;
  removePackagesByName =
    packages: toRemove:
    let
      names = map lib.getName toRemove;
    in
    builtins.filter (p: !(builtins.elem (lib.getName p) names)) packages;
}
