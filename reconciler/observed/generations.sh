# Says which generations of its system profile this host has, and changes nothing.
# POSIX sh; GNU or busybox tools. For each link "NUMBER SECONDS TOPLEVEL LABEL", then
# "is NAME TOPLEVEL" for what runs, was booted and is booted by default, then "end".

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH

cd /nix/var/nix/profiles 2>/dev/null || exit 0
for link in system-*-link; do
    [ -L "$link" ] || continue
    number=${link#system-} label=
    if [ -r "$link/nixos-version" ]; then read -r label <"$link/nixos-version"; fi
    printf '%s %s %s %s\n' "${number%-link}" "$(stat -c %Y -- "$link")" \
        "$(readlink -f -- "$link")" "$label"
done
printf 'is running %s\n' "$(readlink -f /run/current-system)"
printf 'is booted %s\n' "$(readlink -f /run/booted-system)"
number=$(readlink system)
number=${number#system-}
printf 'is default %s\n' "${number%-link}"
echo end
