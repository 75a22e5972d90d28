lib:
let
  part = n: version: builtins.elemAt (builtins.splitVersion version) n;
in
rec {
  splitVersion = builtins.splitVersion;
  major = part 0;
  minor = part 1;
  patch = part 2;
  majorMinor = version: builtins.concatStringsSep "." (lib.take 2 (splitVersion version));
  pad =
    n: version:
    let
      numbers = builtins.head (lib.splitString "-" version);
      suffix = lib.removePrefix numbers version;
      parts = lib.splitString "." numbers;
    in
    builtins.concatStringsSep "." (lib.take n (parts ++ lib.replicate n "0")) + suffix;
}
