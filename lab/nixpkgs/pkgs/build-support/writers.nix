# Scripts in languages other than the shell.
{ lib, pkgs }:
let
  inBin = name: "/bin/${name}";
  script =
    destination: name: text:
    pkgs.writeTextFile {
      inherit name text destination;
      executable = true;
      ${if destination == "" then null else "meta"}.mainProgram = name;
    };
  # Libraries would have to be the machine's: the machine has Python's own, no more.
  noLibraries =
    name: options:
    lib.assertMsg ((options.libraries or [ ]) == [ ])
      "writers: `${name}' asks for libraries; only the language's own are there";
  python =
    destination: name: options: text:
    assert noLibraries name options;
    script destination name "#!${pkgs.python3.interpreter}\n${text}";
in
{
  writePython3 = python "";
  writePython3Bin = name: python (inBin name) name;
  writeBash = name: text: script "" name "#!${pkgs.runtimeShell}\n${text}";
  writeBashBin = name: text: script (inBin name) name "#!${pkgs.runtimeShell}\n${text}";
  writeJSON = name: value: pkgs.writeText name (builtins.toJSON value);
}
