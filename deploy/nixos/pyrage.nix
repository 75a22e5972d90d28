# age for Python. nixpkgs does not have it; its wheels need libc and libgcc alone.
{
  lib,
  stdenv,
  python3Packages,
  fetchPypi,
  autoPatchelfHook,
}:
let
  version = "1.4.0";
  machines = {
    x86_64-linux = {
      name = "x86_64";
      hash = "sha256-f06wy8K0ruXerJhixHs4lYZt9VVBU5Ua+CLpxYHmhVg=";
    };
    aarch64-linux = {
      name = "aarch64";
      hash = "sha256-+GizYMzT+DYybUK1Mvrj6OuDQKiMygo5wK4Q/OaPbMU=";
    };
  };
  machine =
    machines.${stdenv.hostPlatform.system}
      or (throw "pyrage: there is no wheel for ${stdenv.hostPlatform.system}");
in
python3Packages.buildPythonPackage {
  pname = "pyrage";
  inherit version;
  format = "wheel";

  src = fetchPypi {
    pname = "pyrage";
    inherit version;
    format = "wheel";
    dist = "cp310";
    python = "cp310";
    abi = "abi3";
    platform = "manylinux_2_17_${machine.name}.manylinux2014_${machine.name}";
    inherit (machine) hash;
  };

  nativeBuildInputs = [ autoPatchelfHook ];
  buildInputs = [ stdenv.cc.cc.lib ];
  pythonImportsCheck = [ "pyrage" ];

  meta = {
    description = "Encryption with age";
    license = lib.licenses.mit;
    platforms = lib.attrNames machines;
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
