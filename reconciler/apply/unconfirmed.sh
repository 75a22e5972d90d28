# A host that is not NixOS boots what was activated last, confirmed or not: its units and
# files lie in /etc. Part of guardian.sh, which comes after it.
#
#   sh guardian came_up DIR   in a boot; DIR is then $unconfirmed, on the disk
#
# So that a power cut takes it back to what it ran before, as it does a NixOS: from before
# the switch until the end the guardian and its orders are kept on the disk, with a unit
# that starts it once more. Should that be lost, the next one who asks after the attempt
# has it come up: see guard.sh.
unconfirmed=/nix/var/nix/reconciler-unconfirmed
own_units=/etc/systemd/system
unconfirmed_unit=reconciler-unconfirmed.service

keep_unconfirmed() {
    if is_nixos; then return; fi
    rm -rf -- "$unconfirmed" "$unconfirmed.new"
    boot_id >boot-id
    write attempt "${PWD##*/}"
    managed_stamp >written-before
    (umask 022 && mkdir -p "$own_units/multi-user.target.wants") &&
        mkdir -p "$unconfirmed.new" &&
        cp -p attempt boot-id written-before guardian verb new runs old arm switch \
            confirm rollback total active "$unconfirmed.new/" &&
        print_unconfirmed_unit >"$own_units/$unconfirmed_unit" &&
        ln -sfn "../$unconfirmed_unit" \
            "$own_units/multi-user.target.wants/$unconfirmed_unit" &&
        mv -T -- "$unconfirmed.new" "$unconfirmed" && timeout 60 sync || {
        echo "what goes back after a power cut cannot be kept: $own_units and" \
            "$unconfirmed have to be writable" >>log
        return 1
    }
}

# Nothing that another unit does is waited for but the bus: it may never be done.
print_unconfirmed_unit() {
    cat <<UNIT
[Unit]
Description=reconciler: go back from a system that nobody confirmed
ConditionPathExists=$unconfirmed/guardian
RequiresMountsFor=$unconfirmed
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh $unconfirmed/guardian came_up $unconfirmed
TimeoutStartSec=120
UNIT
}

forget_unconfirmed() {
    [ -e "$unconfirmed" ] || [ -e "$own_units/$unconfirmed_unit" ] || return 0
    rm -f -- "$own_units/multi-user.target.wants/$unconfirmed_unit" \
        "$own_units/$unconfirmed_unit"
    rm -rf -- "$unconfirmed" "$unconfirmed.new"
    timeout 60 sync
}

came_up() {
    exec 9>"$unconfirmed/.lock" && flock -w 60 9 || exit 0
    attempt=$(cat attempt) || exit 0 # somebody has taken it in hand
    [ "$(boot_id)" != "$(cat boot-id)" ] || exit 0
    dir=/run/reconciler/$attempt
    [ ! -d "$dir" ] || exit 0
    mkdir -p "${dir%/*}" && rm -rf -- "$dir.new" && mkdir -- "$dir.new" &&
        cp -p attempt written-before guardian verb new runs old arm switch confirm \
            rollback total active "$dir.new/" &&
        echo "$dir.kept" >"$dir.new/kept" && : >"$dir.new/log" && : >"$dir.new/go" &&
        echo 0 >"$dir.new/status" && echo waiting >"$dir.new/phase" &&
        mv -T -- "$dir.new" "$dir" || exit 1
    for _ in 1 2 3 4 5; do
        launch stopped && exit 0
        sleep 1
    done
    exit 1
}
