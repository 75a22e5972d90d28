# Commands, and directories made of other things in the store.
{
  lib,
  pkgs,
  system,
}:
let
  runCommand =
    name: env: buildCommand:
    pkgs.stdenv.mkDerivation (
      {
        inherit name;
      }
      // env
      // {
        inherit buildCommand;
        # Through a file where it is too long for a variable.
        passAsFile =
          env.passAsFile or [ ]
          ++ lib.optional (builtins.stringLength buildCommand > 100000) "buildCommand";
      }
    );

  # A tree of links to the files of all the paths; `pathsToLink` narrows it.
  buildEnv =
    {
      name,
      paths,
      pathsToLink ? [ "/" ],
      extraOutputsToInstall ? [ ],
      ignoreCollisions ? false,
      checkCollisionContents ? true,
      postBuild ? "",
      extraPrefix ? "",
      nativeBuildInputs ? [ ],
      buildInputs ? [ ],
      passthru ? { },
      meta ? { },
      manifest ? "",
      includeClosures ? false,
      preferLocalBuild ? true,
      allowSubstitutes ? false,
    }:
    let
      # Where two packages have one file, the lower priority number wins.
      byPriority = lib.sort (a: b: (a.meta.priority or 5) < (b.meta.priority or 5)) (
        builtins.filter (p: p != null) (lib.flatten paths)
      );
    in
    runCommand name
      {
        inherit
          pathsToLink
          ignoreCollisions
          extraPrefix
          passthru
          meta
          nativeBuildInputs
          buildInputs
          ;
        paths = byPriority;
      }
      ''
        mkdir -p "$out$extraPrefix"
        for path in $paths; do
            for sub in $pathsToLink; do
                [ -d "$path$sub" ] || continue
                mkdir -p "$out$extraPrefix$sub"
                cp -rsn --no-preserve=mode "$path$sub/." "$out$extraPrefix$sub/"
            done
        done
        ${postBuild}
      '';
in
{
  inherit runCommand buildEnv;
  runCommandLocal = runCommand;
  runCommandNoCC = runCommand;
  runCommandWith =
    {
      name,
      derivationArgs ? { },
      ...
    }:
    runCommand name derivationArgs;

  symlinkJoin =
    args@{
      name ? "${args.pname}-${args.version}",
      paths,
      postBuild ? "",
      ...
    }:
    buildEnv {
      inherit name paths postBuild;
      passthru = args.passthru or { };
      meta = args.meta or { };
      nativeBuildInputs = args.nativeBuildInputs or [ ];
      buildInputs = args.buildInputs or [ ];
    };

  # `{ "a/b" = path; }` or `[ { name, path } ]` as a directory.
  linkFarm =
    name: entries:
    let
      list =
        if builtins.isAttrs entries then
          lib.mapAttrsToList (name: path: { inherit name path; }) entries
        else
          entries;
    in
    derivation {
      inherit name system;
      builder = "/bin/sh";
      PATH = "/usr/bin:/bin";
      args = [
        "-ec"
        (lib.concatLines (
          [
            "mkdir -p \"$out\""
            "cd \"$out\""
          ]
          ++ map (
            entry:
            lib.optionalString (lib.hasInfix "/" entry.name) "mkdir -p ${lib.escapeShellArg (dirOf entry.name)}; "
            + "ln -s ${lib.escapeShellArg "${entry.path}"} ${lib.escapeShellArg entry.name}"
          ) list
        ))
      ];
    };
  linkFarmFromDrvs =
    name: drvs:
    pkgs.linkFarm name (
      map (drv: {
        inherit (drv) name;
        path = drv;
      }) drvs
    );

  substituteAll =
    args:
    let
      variables = lib.filterAttrs (_: v: builtins.isString v || lib.isDerivation v || builtins.isInt v) (
        removeAttrs args [
          "name"
          "src"
          "dir"
          "isExecutable"
          "meta"
        ]
      );
    in
    runCommand (args.name or (baseNameOf (toString args.src))) { inherit (args) src; } ''
      substitute "$src" "$out" ${
        lib.concatStringsSep " " (
          lib.mapAttrsToList (n: v: "--subst-var-by ${n} ${lib.escapeShellArg "${toString v}"}") variables
        )
      }
      ${lib.optionalString (args.isExecutable or false) "chmod +x \"$out\""}
    '';
  replaceVars =
    src: variables:
    pkgs.substituteAll (variables // { inherit src; });

  # `makeWrapper` and `wrapProgram` are functions of every build; this name is for
  # `nativeBuildInputs` that ask for them.
  makeWrapper = runCommand "make-wrapper" { } "mkdir -p $out/bin";
  makeBinaryWrapper = pkgs.makeWrapper;
  installShellFiles = runCommand "install-shell-files" { } "mkdir -p $out/bin";
}
