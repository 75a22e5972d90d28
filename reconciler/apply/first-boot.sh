# A first boot: a host that cannot be switched to a system is booted into it, and watched.
# Part of guardian.sh, which comes after it.
#
#   sh guardian arrive DIR    early in the next boot; DIR is then $first, on the disk
#   sh guardian watch DIR     from then on, as the main process of reconciler-activation
#
# The new system becomes what the host boots, but only for one boot: the first thing that
# this boot does is to set that back. From then on it is as after a switch: whatever takes
# the host down takes it back to the system from before, and only `confirmed` makes the
# new one what it boots.
#
# What watches has to outlive the reboot. So the guardian and its orders are kept in
# $first, on the disk of the store, and a unit that starts it is put where systemd looks
# on NixOS too, whose own units lie in the store: into system.control, which belongs to
# the host (`systemctl set-property` writes there). Where that is in memory, nothing is
# begun. Should it be lost all the same, the next one who asks after the attempt has it
# arrive: see guard.sh.
first=/nix/var/nix/reconciler-first-boot
control=/etc/systemd/system.control
first_unit=reconciler-first-boot.service
reboot_limit=600 # seconds until a host that was told to must have gone down

boot_id() { cat /proc/sys/kernel/random/boot_id; }

is_first_boot() { [ "$(cat verb)" = first-boot ]; }

# --- in the system from before -------------------------------------------------------

first_boot() {
    phase booting
    note_boot
    if [ "$(readlink -f "$profile")" = "$(cat new)" ]; then
        echo "somebody has it boot that system by default already: reboot it by hand" >>log
        undo_first_boot
    fi
    keep_watch || undo_first_boot
    if ! set_boot || ! keep_made || ! boot_once; then
        give_up_first_boot
    fi
    timeout 60 sync
    if [ ! -L decision ]; then
        echo "rebooting into $(cat new)" >>log
        phase rebooting
        go_down
    fi
    give_up_first_boot
}

# Once is enough; but what went wrong is done again, also if the profile is back already.
take_back() {
    [ ! -e taken-back ] || return 0
    [ ! -e once ] || timeout 20 bootctl set-oneshot "" >>log 2>&1
    take_boot_back && : >taken-back
}

# Which generation is to be removed again.
keep_made() { write made "$(readlink "$profile")" && cp -p made "$first/"; }

# Where systemd-boot booted the host, it can be told to boot an entry once, and forgets
# that before it does so: then the default stays as it was, also while the new system does
# not even come up. Only a loader that was left half-way is a failure.
boot_once() {
    timeout 20 bootctl status 2>/dev/null | grep -q 'Product: systemd-boot' || return 0
    entries=$(timeout 20 bootctl --print-boot-path 2>/dev/null)/loader/entries
    entry=$(entry_of "$(cat new)")
    [ -n "$entry" ] || return 0
    read -r link system _ <before
    if bounded 60 nix-env -p "$profile" --switch-generation "$(number_of "$link")" &&
        set_loader "$system" NIXOS_NO_CHECK=1 &&
        # Where few entries are kept, it may be the new one that is left.
        [ -n "$(entry_of "$system")" ] && [ -n "$(entry_of "$(cat new)")" ] &&
        timeout 20 bootctl set-oneshot "$entry" >>log 2>&1; then
        echo "it is booted once, by $entry" >>log
        : >once
        cp -p once "$first/"
        return 0
    fi
    echo "it cannot be booted just once, and becomes the default for that time" >>log
    set_boot
}

# entry_of SYSTEM: the name of its entry, without what boot counting adds to the file's.
entry_of() {
    found=$(grep -rlF --include='*.conf' "init=$1/init" "$entries" 2>/dev/null |
        sort | head -n 1)
    [ -z "$found" ] ||
        printf '%s\n' "${found##*/}" | sed -E 's/\+[0-9]+(-[0-9]+)?\.conf$/.conf/'
}

# While what is booted cannot be set back, the watch stays for the next boot.
give_up_first_boot() {
    take_back && forget_watch
    finish not-booted
}

undo_first_boot() {
    forget_watch
    finish not-booted
}

# Fails, and says why in the log, where nothing would watch over the next boot.
keep_watch() {
    rm -rf -- "$first" "$first.new"
    boot_id >boot-id
    write attempt "${PWD##*/}"
    mkdir -p "$control/sysinit.target.wants" "$first.new" &&
        cp -p attempt boot-id before guardian verb new runs old arm switch confirm \
            rollback total active "$first.new/" &&
        print_unit >"$control/$first_unit" &&
        ln -sfn "../$first_unit" "$control/sysinit.target.wants/$first_unit" || {
        echo "what watches over the boot cannot be kept in $control and $first" >>log
        return 1
    }
    case $(stat -f -c %T "$control")-$(stat -f -c %T "$first.new") in *tmpfs* | *ramfs*)
        echo "what watches over the boot would be lost in it: $control is in memory" >>log
        return 1
        ;;
    esac
    for system in /run/current-system "$(cat new)"; do
        looks_there "$system" || {
            echo "the systemd of $system does not look for units in $control" >>log
            return 1
        }
    done
    mv -T -- "$first.new" "$first" && timeout 60 sync
}

looks_there() {
    [ -x "$1/sw/bin/systemd-analyze" ] || return 0
    timeout 20 "$1/sw/bin/systemd-analyze" unit-paths 2>/dev/null | grep -qxF "$control"
}

print_unit() {
    cat <<UNIT
[Unit]
Description=reconciler: watch over the first boot of a system
DefaultDependencies=no
IgnoreOnIsolate=yes
ConditionPathExists=$first/guardian
RequiresMountsFor=$first
After=local-fs.target
Before=basic.target shutdown.target
[Service]
Type=oneshot
ExecStart=/bin/sh $first/guardian arrive $first
TimeoutStartSec=1200
UNIT
}

forget_watch() {
    rm -f -- "$control/sysinit.target.wants/$first_unit" "$control/$first_unit"
    rmdir "$control/sysinit.target.wants" "$control" 2>/dev/null
    rm -rf -- "$first" "$first.new"
    timeout 60 sync
}

# Returns where the host did not go down, or somebody decided that it need not.
go_down() {
    timeout 60 systemctl reboot >>log 2>&1
    give_up=$(($(uptime) + reboot_limit))
    until [ -L decision ] || [ "$(uptime)" -ge "$give_up" ]; do sleep 0.2; done
    echo "the reboot is called off" >>log
}

# --- in the next boot ----------------------------------------------------------------

arrive() {
    exec 9>"$first/.lock" && flock -w 60 9 || exit 0
    attempt=$(cat attempt) || exit 0 # somebody has taken it in hand
    [ "$(boot_id)" != "$(cat boot-id)" ] || exit 0
    dir=/run/reconciler/$attempt
    [ ! -d "$dir" ] || exit 0
    if [ "$(readlink -f /run/booted-system)" != "$(cat new)" ]; then
        # The boot loader chose another, or a person there, or the power went too early.
        take_back && forget_watch
        exit 0
    fi
    take_in_hand && for _ in 1 2 3 4 5; do
        launch watch && exit 0
        sleep 1
    done
    # Nobody watches, so nobody may stay.
    take_back
    timeout 60 systemctl reboot
}

take_in_hand() {
    mkdir -p "${dir%/*}" && rm -rf -- "$dir.new" && mkdir -- "$dir.new" &&
        cp -p attempt before made guardian verb new runs old arm switch confirm \
            rollback total active "$dir.new/" &&
        echo "$dir.kept" >"$dir.new/kept" && : >"$dir.new/log" && : >"$dir.new/go" &&
        echo 0 >"$dir.new/status" && echo arriving >"$dir.new/phase" &&
        mv -T -- "$dir.new" "$dir"
}

# While what is booted cannot be set back, the watch stays for the next boot, too.
watch() {
    for pause in 1 5 10 0; do
        take_back && forget_watch && break
        sleep "$pause"
    done
    phase waiting
    wait_for decision "$(cat confirm)" || decide expired
    follow_decision
}

# There is no other way back than the one by which it came.
boot_back() {
    take_back || finish rollback-failed
    forget_watch
    echo "rebooting, back to $(cat old)" >>log
    timeout 60 sync
    sleep 1 # who decided so is to hear of it
    for _ in 1 2 3; do
        timeout 60 systemctl reboot >>log 2>&1
        sleep "$((reboot_limit / 3))"
    done
    finish rollback-failed
}

# Whatever ended the guardian. On the way down it is over, one way or another.
stopped_first_boot() {
    [ "$(timeout 10 systemctl is-system-running 2>/dev/null)" != stopping ] || exit 0
    case $(cat phase 2>/dev/null) in
    '' | booting | rebooting)
        give_up_first_boot
        ;;
    esac
    decide ended
    follow_decision
}
