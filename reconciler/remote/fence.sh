# Runs COMMAND unless a greater NUMBER was seen on this host.
#
#   sh -c SCRIPT fence NUMBER COMMAND…
#
# Workers share hosts, and whoever takes one gets a greater number. One that was frozen
# meanwhile comes back with a smaller one: it is refused here, whatever it believes. Who
# comes with a greater number waits until what runs by a smaller one has ended.
path=$PATH
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
number=$1
shift
dir=${FENCE_DIR:-/var/lib/reconciler-fence}
refuse() {
    echo "reconciler-fence: $1" >&2
    exit 77
}
seen() {
    seen=$(cat "$dir/number" 2>/dev/null)
    [ "$number" -gt "${seen:-0}" ]
}
note() {
    (umask 077 && printf '%s\n' "$number" >"$dir/number.new") &&
        mv -f -- "$dir/number.new" "$dir/number"
}
go() {
    PATH=$path
    exec "$@"
}
# A disk that takes nothing is no reason to leave a host as it is.
(umask 077 && mkdir -p -- "$dir" && : >>"$dir/lock") 2>/dev/null || go "$@"
exec 8>>"$dir/lock"
flock -s -w 20 8 || refuse busy
if seen; then
    flock -w 20 8 || refuse busy
    if seen; then note; fi
    flock -s 8
fi
if ! seen && [ "$number" -lt "${seen:-0}" ]; then
    refuse "$seen is here, $number came"
fi
go "$@"
