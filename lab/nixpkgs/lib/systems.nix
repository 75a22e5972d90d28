lib:
let
  parse =
    system:
    let
      parts = lib.splitString "-" system;
    in
    {
      cpu.name = builtins.head parts;
      kernel.name = lib.last parts;
    };
in
{
  # What a package asks of a platform, from its two-part name.
  elaborate =
    platform:
    let
      system = if builtins.isString platform then platform else platform.system;
      parsed = parse system;
    in
    {
      inherit system parsed;
      config = "${parsed.cpu.name}-unknown-${parsed.kernel.name}-gnu";
      isLinux = parsed.kernel.name == "linux";
      isDarwin = parsed.kernel.name == "darwin";
      isx86_64 = parsed.cpu.name == "x86_64";
      isAarch64 = parsed.cpu.name == "aarch64";
      is64bit = builtins.elem parsed.cpu.name [
        "x86_64"
        "aarch64"
      ];
      is32bit = builtins.elem parsed.cpu.name [
        "i686"
        "armv7l"
      ];
      # The programs of another processor are nobody's to run here.
      canExecute = other: other.system == system;
    };
  flakeExposed = [
    "x86_64-linux"
    "aarch64-linux"
  ];
  doubles = lib.platforms;
}
