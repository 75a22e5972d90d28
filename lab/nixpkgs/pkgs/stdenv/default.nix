# `mkDerivation`: bash over the machine's own tools, in the phases unpack, patch, configure,
# build, check, install and fixup. It compiles nothing by itself: no compiler is promised.
{
  lib,
  pkgs,
  system,
}:
let
  shell = "/bin/bash";
  # The tools of the machine come last, so that `buildInputs` win.
  machinePath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

  isUnfree =
    license:
    builtins.any (l: !(l.free or true)) (lib.toList license);
  checkLicense =
    name: attrs: drv:
    let
      inherit (pkgs) config;
      allowed =
        !(attrs ? meta.license)
        || !(isUnfree attrs.meta.license)
        || config.allowUnfree
        || config.allowUnfreePredicate attrs;
    in
    if allowed then
      drv
    else
      throw "Package ‘${name}’ has an unfree license, refusing to evaluate. Set nixpkgs.config.allowUnfree = true to allow it.";

  # What is about the package and not about how it is built.
  notForBuilder = [
    "buildInputs"
    "depsBuildBuild"
    "meta"
    "nativeBuildInputs"
    "nativeCheckInputs"
    "checkInputs"
    "passthru"
    "pos"
    "propagatedBuildInputs"
    "env"
    "strictDeps"
    "__structuredAttrs"
    "allowSubstitutes"
  ];

  inputsOf =
    attrs:
    builtins.filter (x: x != null) (
      lib.concatMap (kind: lib.flatten (attrs.${kind} or [ ])) [
        "nativeBuildInputs"
        "buildInputs"
        "propagatedBuildInputs"
        "nativeCheckInputs"
        "checkInputs"
      ]
    );

  build =
    attrs:
    let
      name =
        attrs.name or (
          if attrs ? pname && attrs ? version then
            "${attrs.pname}-${attrs.version}"
          else
            throw "mkDerivation needs `name`, or `pname` and `version`."
        );
      inputs = inputsOf attrs;
      drv = derivation (
        removeAttrs attrs notForBuilder
        // attrs.env or { }
        // {
          inherit name system;
          builder = shell;
          args = [
            "-e"
            (attrs.builder or ./setup.sh)
          ];
          PATH = builtins.concatStringsSep ":" (map (input: "${input}/bin") inputs ++ [ machinePath ]);
          buildInputs = inputs;
          SHELL = shell;
        }
      );
    in
    checkLicense name attrs (
      drv
      // attrs.passthru or { }
      // {
        inherit name;
        meta = {
          inherit name;
          outputsToInstall = [ "out" ];
        }
        // attrs.meta or { };
        passthru = attrs.passthru or { };
        overrideAttrs =
          f:
          mkDerivation (
            final:
            let
              new = lib.toExtension f final attrs;
            in
            attrs // new
          );
      }
      // lib.optionalAttrs (attrs ? version) { inherit (attrs) version; }
      // lib.optionalAttrs (attrs ? pname) { inherit (attrs) pname; }
    );

  # Takes the attributes, or a function from the finished package to them.
  mkDerivation =
    argument:
    if lib.isFunction argument then
      let
        attrs = argument (attrs // { finalPackage = package; });
        package = build attrs;
      in
      package
    else
      build argument;
  platform = lib.systems.elaborate system;
in
{
  inherit mkDerivation shell system;
  name = "stdenv-machine";
  hostPlatform = platform;
  buildPlatform = platform;
  targetPlatform = platform;
  inherit (platform) isLinux isDarwin isx86_64 isAarch64;
  cc = null;
  allowedRequisites = null;
}
