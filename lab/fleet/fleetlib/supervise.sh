#!/bin/sh
# The power supply of one host: gives it its disk, boots it, boots it again when it
# reboots (systemd-nspawn then exits with 133), and ends when it is switched off.
#
# Runs in a mount namespace of its own: when the last process of the host is gone, the
# kernel unmounts everything, whoever or whatever ended it.
#
# In the environment: FOLDER (the host's), NAME, MACHINE (unique on this machine),
# SUPERVISOR_GROUPS and HOST_GROUPS (control group folders). Stdin is the fleet's
# lock: it is let go only when this process can be found through its control groups.
set -eu

for group in $SUPERVISOR_GROUPS; do
    echo $$ >"$group/cgroup.procs"
done
exec </dev/null

cd "$FOLDER"
# Where the folder itself is on an overlay, the disk is a file system in a file.
if [ -e disk.img ]; then
    mount -o loop disk.img disk
fi
# Names relative to the folder: mount's options know no quoting of ',' and ':'.
mount -t overlay overlay \
    -o lowerdir=generation:image,upperdir=disk/upper,workdir=disk/work root
cp hosts root/etc/hosts
if [ -e nix.img ]; then
    mount -o loop nix.img root/nix
fi

while :; do
    status=0
    sh -c '
        for group in $HOST_GROUPS; do
            echo $$ >"$group/cgroup.procs"
        done
        exec "$@"
    ' sh env --ignore-environment "PATH=$PATH" \
        UNIFIED_CGROUP_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0 \
        systemd-nspawn --quiet --register=no --keep-unit --directory="$FOLDER/root" \
        --hostname="$NAME" --machine="$MACHINE" --kill-signal=SIGRTMIN+3 \
        --resolv-conf=off --timezone=off --link-journal=no \
        /boot/init || status=$?
    [ "$status" -eq 133 ] || exit "$status"
done
