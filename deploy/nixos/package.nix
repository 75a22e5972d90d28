# The reconciler as a package. What it needs is read from pyproject.toml, so that there is
# one list of it.
{
  lib,
  python3Packages,
  callPackage,
  gitMinimal,
  openssh,
  nix,
  # For `state.database`.
  withPostgreSQL ? false,
}:
let
  inherit (builtins.fromTOML (builtins.readFile ../../pyproject.toml)) project;

  # nixpkgs names packages by their normalized names: `apprise[extra]>=1` is apprise.
  nameOf =
    requirement:
    let
      name = builtins.head (builtins.match "([A-Za-z0-9._-]+).*" requirement);
    in
    builtins.replaceStrings [ "_" "." ] [ "-" "-" ] (lib.toLower name);
  # Where nixpkgs has no such package.
  ours = {
    pyrage = callPackage ./pyrage.nix { };
  };
  needed = map (
    requirement:
    let
      name = nameOf requirement;
    in
    python3Packages.${name} or ours.${name}
      or (throw "reconciler needs `${name}', which is neither in python3Packages nor in deploy/nixos")
  ) (project.dependencies ++ lib.optionals withPostgreSQL project.optional-dependencies.postgresql);

  # Only what the wheel is made of: other changes to the repository build nothing.
  root = ../..;
  isPart =
    path: type:
    let
      relative = lib.removePrefix "${toString root}/" (toString path);
    in
    baseNameOf path != "__pycache__"
    && (
      lib.elem relative [
        "LICENSE"
        "README.md"
        "pyproject.toml"
        "reconciler"
      ]
      || lib.hasPrefix "reconciler/" relative
    );
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  src = lib.cleanSourceWith {
    name = "${project.name}-source";
    src = root;
    filter = isPart;
  };

  build-system = [ python3Packages.setuptools ];
  dependencies = needed;

  # Last in PATH: a machine's own Nix knows its store best.
  makeWrapperArgs = [
    "--suffix"
    "PATH"
    ":"
    (lib.makeBinPath [
      gitMinimal
      nix
      openssh
    ])
  ];

  # The tests need hosts.
  doCheck = false;
  pythonImportsCheck = [ "reconciler.cli" ];

  meta = {
    inherit (project) description;
    license = lib.licenses.mit;
    mainProgram = "reconciler";
    platforms = lib.platforms.linux;
  };
}
