# Single files and scripts. One small derivation each, run by /bin/sh: a file takes a few
# milliseconds to build, and a host has some dozens of them.
{
  lib,
  pkgs,
  system,
}:
let
  # The kernel takes 128 KiB in one variable; what is longer goes through a file.
  maxVariable = 100000;

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      passthru ? { },
      allowSubstitutes ? false,
      preferLocalBuild ? true,
      derivationArgs ? { },
    }:
    let
      isLong = builtins.stringLength text > maxVariable;
      drv = derivation (
        {
          inherit
            name
            system
            text
            destination
            allowSubstitutes
            preferLocalBuild
            ;
          builder = "/bin/sh";
          PATH = "/usr/bin:/bin";
          ${if isLong then "passAsFile" else null} = [ "text" ];
          args = [
            "-ec"
            (
              ''target=$out$destination''
              + lib.optionalString (destination != "") "\nmkdir -p \"\${target%/*}\""
              + (if isLong then "\ncat \"$textPath\" >\"$target\"" else "\nprintf %s \"$text\" >\"$target\"")
              + lib.optionalString executable "\nchmod +x \"$target\""
              + "\n${checkPhase}"
            )
          ];
        }
        // derivationArgs
      );
    in
    drv // passthru // { inherit meta passthru; };

  binScript =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
      destination = "/bin/${name}";
      meta.mainProgram = name;
    };
  shebang = "#!${pkgs.runtimeShell}\n";
in
{
  inherit writeTextFile;
  writeText = name: text: writeTextFile { inherit name text; };
  writeTextDir =
    path: text:
    writeTextFile {
      name = builtins.baseNameOf path;
      destination = "/${path}";
      inherit text;
    };
  writeScript =
    name: text:
    writeTextFile {
      inherit name text;
      executable = true;
    };
  writeScriptBin = binScript;
  writeShellScript =
    name: text:
    writeTextFile {
      inherit name;
      text = shebang + text + "\n";
      executable = true;
      checkPhase = ''/bin/bash -n "$target"'';
    };
  writeShellScriptBin = name: text: binScript name (shebang + text + "\n");

  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
      checkPhase ? null,
      bashOptions ? [
        "errexit"
        "nounset"
        "pipefail"
      ],
      meta ? { },
      passthru ? { },
      excludeShellChecks ? [ ],
      inheritPath ? true,
    }:
    let
      path = lib.makeBinPath runtimeInputs;
      setPath =
        if inheritPath then
          lib.optionalString (runtimeInputs != [ ]) "export PATH=\"${path}:$PATH\"\n"
        else
          "export PATH=\"${path}\"\n";
    in
    # No shellcheck here: only the shell's own look at the syntax.
    builtins.seq excludeShellChecks (writeTextFile {
      inherit name passthru;
      executable = true;
      destination = "/bin/${name}";
      meta = {
        mainProgram = name;
      }
      // meta;
      text =
        shebang
        + lib.concatMapStrings (option: "set -o ${option}\n") bashOptions
        + lib.concatStrings (
          lib.mapAttrsToList (n: v: "${lib.toShellVar n v}\nexport ${n}\n") runtimeEnv
        )
        + setPath
        + "\n${text}\n";
      checkPhase = if checkPhase == null then ''/bin/bash -n "$target"'' else checkPhase;
    });

  concatTextFile =
    {
      name,
      files,
      executable ? false,
      destination ? "",
    }:
    pkgs.runCommand name { inherit files destination executable; } ''
      target=$out$destination
      mkdir -p "$(dirname "$target")"
      cat $files >"$target"
      ''${executable:+chmod +x "$target"}
    '';
  concatText = name: files: pkgs.concatTextFile { inherit name files; };
  writeClosure = paths: pkgs.writeText "closure" (lib.concatLines (map toString paths));
}
