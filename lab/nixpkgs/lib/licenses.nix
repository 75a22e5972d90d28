# Licences by their SPDX identifiers: what a package's `meta.license` may name.
lib:
builtins.mapAttrs
  (
    shortName:
    {
      spdxId,
      free ? true,
      fullName ? spdxId,
    }:
    {
      inherit
        free
        fullName
        shortName
        spdxId
        ;
      deprecated = false;
      redistributable = free;
      url = "https://spdx.org/licenses/${spdxId}.html";
    }
  )
  {
    agpl3Only.spdxId = "AGPL-3.0-only";
    agpl3Plus.spdxId = "AGPL-3.0-or-later";
    asl20.spdxId = "Apache-2.0";
    bsd2.spdxId = "BSD-2-Clause";
    bsd3.spdxId = "BSD-3-Clause";
    cc0.spdxId = "CC0-1.0";
    free.spdxId = "LicenseRef-free";
    gpl2Only.spdxId = "GPL-2.0-only";
    gpl2Plus.spdxId = "GPL-2.0-or-later";
    gpl3Only.spdxId = "GPL-3.0-only";
    gpl3Plus.spdxId = "GPL-3.0-or-later";
    isc.spdxId = "ISC";
    lgpl21Plus.spdxId = "LGPL-2.1-or-later";
    lgpl3Plus.spdxId = "LGPL-3.0-or-later";
    mit.spdxId = "MIT";
    mpl20.spdxId = "MPL-2.0";
    publicDomain.spdxId = "LicenseRef-public-domain";
    unfree = {
      spdxId = "LicenseRef-unfree";
      free = false;
    };
    unlicense.spdxId = "Unlicense";
    wtfpl.spdxId = "WTFPL";
    zlib.spdxId = "Zlib";
  }
