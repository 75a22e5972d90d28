# What a package is made from: what its `meta.sourceProvenance` may name.
lib:
lib.genAttrs
  [
    "binaryBytecode"
    "binaryFirmware"
    "binaryNativeCode"
    "fromSource"
    "obfuscatedCode"
  ]
  (shortName: {
    inherit shortName;
    isSource = shortName == "fromSource";
  })
