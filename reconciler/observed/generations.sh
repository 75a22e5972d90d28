# Says which generations of its system profile this host has, and changes nothing.
# POSIX sh; GNU or busybox tools. For each link "NUMBER SECONDS TOPLEVEL LABEL", then
# "is NAME TOPLEVEL" for what runs, was booted and is booted by default, then "end". Comes
# after system-manager.sh: where there is no system profile, that tool's is the one.

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export LC_ALL PATH

profile=/nix/var/nix/profiles/system
running=$(readlink -f /run/current-system)
if [ ! -L "$profile" ] && [ -L "$managed_profile" ]; then
    profile=$managed_profile
    running=$(managed_running)
fi
name=${profile##*/}
cd "${profile%/*}" 2>/dev/null || exit 0
for link in "$name"-*-link; do
    [ -L "$link" ] || continue
    number=${link#"$name"-} label=
    if [ -r "$link/nixos-version" ]; then read -r label <"$link/nixos-version"; fi
    printf '%s %s %s %s\n' "${number%-link}" "$(stat -c %Y -- "$link")" \
        "$(readlink -f -- "$link")" "$label"
done
printf 'is running %s\n' "$running"
printf 'is booted %s\n' "$(readlink -f /run/booted-system)"
number=$(readlink "$name")
number=${number#"$name"-}
printf 'is default %s\n' "${number%-link}"
echo end
