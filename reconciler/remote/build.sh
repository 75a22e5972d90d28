# Builds DERIVATION on this host, for at most SECONDS, and keeps what comes of it, which
# should be SYSTEM, by the link ROOT.
#
#   sh -c SCRIPT build DERIVATION SYSTEM ROOT SECONDS
#
# In a unit of its own, so that all of it ends in time, whoever is still there to see; what
# an earlier attempt left building is ended first. It is called after ROOT: who builds to
# compare ends no build that is to be deployed. Prints what Nix says.
set -u
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
PATH=$PATH:/nix/var/nix/profiles/default/bin
export PATH
derivation=$1 system=$2 root=$3 seconds=$4
unit=${root##*/}-build
nix=$(command -v nix-store) || {
    echo "error: this host has no nix-store" >&2
    exit 1
}
systemctl stop "$unit.service" 2>/dev/null
systemctl reset-failed "$unit.service" 2>/dev/null
systemd-run --quiet --collect --pipe --wait --unit="$unit" --setenv=PATH="$PATH" \
    --property=RuntimeMaxSec="$seconds" \
    -- "$nix" --realise "$derivation" --add-root "$root" --indirect || exit
"$nix" --check-validity "$system" || exit
rm -f -- "$root.drv"
