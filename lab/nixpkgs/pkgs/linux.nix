# Stand-ins for kernels: small files with a version in them. A host of the fleet runs the
# kernel of the machine; what matters is that two kernels have two store paths.
{ lib, pkgs }:
let
  kernel =
    version:
    pkgs.runCommand "linux-${version}"
      {
        inherit version;
        pname = "linux";
        passthru = {
          modDirVersion = version;
          kernelOlder = lib.versionOlder version;
          kernelAtLeast = lib.versionAtLeast version;
        };
      }
      ''
        mkdir -p $out/lib/modules/$version
        echo "not a kernel, $version" >$out/bzImage
        echo $version >$out/lib/modules/$version/modules.order
      '';
in
{
  linuxPackagesFor =
    package:
    lib.makeExtensible (_: {
      kernel = package;
    });
  linux = kernel "6.6.60";
  linux_6_6 = kernel "6.6.60";
  linux_6_12 = kernel "6.12.5";
  linux_latest = kernel "6.12.5";
  linuxPackages = pkgs.linuxPackagesFor pkgs.linux;
  linuxPackages_6_6 = pkgs.linuxPackagesFor pkgs.linux_6_6;
  linuxPackages_6_12 = pkgs.linuxPackagesFor pkgs.linux_6_12;
  linuxPackages_latest = pkgs.linuxPackagesFor pkgs.linux_latest;
}
