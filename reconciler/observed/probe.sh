# Says what this host is, and changes nothing. POSIX sh; GNU or busybox tools.
#
# The lines before this one set $limit, the seconds that systemctl may take; $keys, the
# paths of key files as words for eval; $secrets, those of secrets that the host decrypts
# itself; $renewed, the links that each activation sets to a new generation of those; and
# the positional parameters, the units asked about; system-manager.sh comes before, too. Each section of the answer begins with
# "== NAME"; no line of a section can begin with "==". "== end" tells a whole answer from
# one that was cut off.

LC_ALL=C
PATH=/run/current-system/sw/bin:/usr/bin:/bin:/usr/sbin:/sbin:$PATH
SYSTEMD_COLORS=0
export LC_ALL PATH SYSTEMD_COLORS
set -f # no name is a pattern
IFS='
'

# Not echo: that of dash gives backslashes a meaning, and unit names have some.
say() { printf '%s\n' "$1"; }

# first_line FILE: without a process, and empty if there is no such file
first_line() {
    line=
    if [ -r "$1" ]; then read -r line <"$1"; fi
    say "$line"
}

# What follows a link wherever it ends, even if it ends nowhere, one line for each.
resolve() {
    if readlink -m / >/dev/null 2>&1; then
        readlink -m -- "$@"
    else
        for path; do readlink -f "$path" || say "$path"; done
    fi
}

# Whether somebody holds the lock of switch-to-configuration. The kernel is asked: to try
# to take it could make a switch fail that begins in the same moment.
switching() {
    lock=/run/nixos/switch-to-configuration.lock
    if [ ! -e "$lock" ]; then return; fi
    device=$(stat -c %d -- "$lock") inode=$(stat -c %i -- "$lock")
    major=$((device >> 8 & 0xfff)) minor=$((device & 0xff | device >> 12 & ~0xff))
    id=$(printf '%02x:%02x:%s' "$major" "$minor" "$inode")
    while read -r line; do
        case $line in *" FLOCK "*" $id "*) say yes && return ;; esac
    done </proc/locks
}

# specialisation SYSTEM: which specialisation of a system runs, if one does.
specialisation() {
    set +f
    for variant in "$1"/specialisation/*; do
        if [ "$variant" -ef /run/current-system ]; then
            say "${variant##*/}" && return
        fi
    done
}
is_nixos() { [ -e /etc/NIXOS ] || [ -e /run/current-system/nixos-version ]; }
profile=/nix/var/nix/profiles/system
brought=/nix/var/nix/gcroots/reconciler # guard.sh sets it, before a switch

say '== host'
say "clock=$(date +%s.%N)"
say "uptime=$(first_line /proc/uptime)"
say "boot_id=$(first_line /proc/sys/kernel/random/boot_id)"
say "machine_id=$(first_line /etc/machine-id)"
say "switching=$(switching)"
say "specialisation=$(specialisation "$profile")"
say "brought_specialisation=$(specialisation "$brought")"
say "nixos=$(if is_nixos; then say yes; fi)"
say "managed_running=$(managed_running)"
say "managed_profile=$(if [ -L "$managed_profile" ]; then resolve "$managed_profile"; fi)"
say "driver=$(first_line /var/lib/reconciler-driver)"
say "store_free=$(stat -f -c '%a %S' /nix/store 2>/dev/null)"

# A template is no unit, so systemctl would refuse it: its file has to do.
units='' templates=''
for unit; do
    case $unit in
        *@.*) templates="$templates$unit$IFS" ;;
        *) units="$units$unit$IFS" ;;
    esac
done

properties=Id,Names,LoadState,ActiveState,SubState,Result,FragmentPath,DropInPaths
properties=$properties,NeedDaemonReload,NRestarts,InvocationID,Job,ConditionResult
properties=$properties,ConditionTimestampMonotonic,AssertResult,AssertTimestampMonotonic
properties=$properties,Restart,TriggeredBy,ExecMainCode,ExecMainStatus
properties=$properties,ExecMainExitTimestampMonotonic,ActiveExitTimestampMonotonic
properties=$properties,InactiveExitTimestampMonotonic,RestartPreventExitStatus
properties=$properties,ActiveEnterTimestampMonotonic
properties=$properties,Type,RemainAfterExit,RemainAfterElapse,BusName,RefuseManualStart
properties=$properties,Wants,Requires,BindsTo,Upholds,Conflicts,ConflictedBy
# With --all, patterns also stand for what is loaded and does not run.
answer=$(
    # shellcheck disable=SC2086 # one word for each line
    timeout -k 1 "$limit" systemctl show --all --no-pager --property="$properties" -- \
        $units '*.service' '*.socket' '*.timer' '*.path' '*.target' default.target \
        2>/dev/null
)
say "systemctl=$?"
say "limit=$limit"
say '== units'
say "$answer"

paths=$(
    for system in /run/current-system /run/booted-system; do
        for part in '' /kernel /initrd /kernel-modules /systemd; do
            say "$system$part"
        done
    done
    say "$profile"
    say "$brought"
    for template in $templates; do
        # In systemd's order of precedence: the first one counts.
        for directory in /etc /run /usr/lib /lib; do
            say "$directory/systemd/system/$template"
        done
    done
)
paths=$(
    for path in $paths; do
        if [ -e "$path" ] || [ -L "$path" ]; then say "$path"; fi
    done
    # What the system has of a unit that is masked.
    say "$answer" | grep -E '^(Id=|LoadState=masked$)' | while read -r line; do
        case $line in
        Id=*) file=/etc/systemd/system/${line#Id=} ;;
        *) if [ -e "$file" ] || [ -L "$file" ]; then say "$file"; fi ;;
        esac
    done
    say "$answer" | sed -n 's/^FragmentPath=\(.\)/\1/p' | sort -u
    # A list with special characters comes as "/a\\x2db/c d" /e: xargs takes off the
    # quotes, within which it leaves backslashes alone.
    say "$answer" | sed -n 's/\\\(.\)/\1/g; s/^DropInPaths=\(.\)/\1/p' |
        xargs printf '%s\n' | sort -u
)
say '== paths'
say "$paths"
say '== resolved'
# shellcheck disable=SC2086 # one word for each line
if [ -n "$paths" ]; then resolve $paths; fi

# Keys: what stands there (lstat), the content of regular files, and what their folders
# are. Nothing here follows a link at the place of a key. A file that no key could be
# (16 MiB) is not read, nor for long what somebody puts in its place just then: a pipe
# would keep us for ever.
eval "set -- $keys"
say '== keys'
if [ $# -gt 0 ]; then stat -c '%f %s %u %g %U %G %n' -- "$@" 2>/dev/null; fi
say '== digests'
if [ $# -gt 0 ]; then
    timeout -k 1 10 find "$@" -maxdepth 0 -type f -size -16777217c \
        -exec sha256sum -- {} + 2>/dev/null
fi
# Of each folder: its type of file system, or that of the nearest one that exists; then
# where that one really is; then its name.
say '== folders'
for path; do say "${path%/*}"; done | sort -u | while read -r folder; do
    near=${folder:-/}
    until [ -e "$near" ] || [ -L "$near" ]; do
        near=${near%/*} near=${near:-/}
    done
    say "$(stat -f -c %T -- "$near" 2>/dev/null)"
    real=$(readlink -f -- "$near" 2>/dev/null)
    say "${real%/}${folder#"${near%/}"}"
    say "$folder"
done
# Secrets that the host decrypts itself lie behind links, and their content is not read.
# What a link leads to may hang for ever.
eval "set -- $secrets"
if [ $# -gt 0 ]; then
    say '== secrets'
    timeout -k 1 10 stat -L -c '%f %s %u %g %U %G %n' -- "$@" 2>/dev/null
    say "status=$?"
fi
# When each was set, and the one that an activation sets last. What a link leads to tells,
# too: by hand it may have been set to what was there.
eval "set -- $renewed"
if [ $# -gt 0 ]; then
    say '== renewed'
    timeout -k 1 10 stat -c '%Y %n' -- /run/current-system "$@" 2>/dev/null
    timeout -k 1 10 stat -L -c '%Y %n' -- "$@" 2>/dev/null
fi
say '== end'
