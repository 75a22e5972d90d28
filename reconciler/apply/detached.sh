# Run a command in a transient systemd unit, wait for it, tell its output and status.
#
#   sh detached.sh NAME SECONDS PATH… -- COMMAND…      (NAME is new for each attempt)
#
# The unit lives through the loss of our SSH connection, so this may be started a second
# time with the same NAME: it then waits for the unit that is already there. The fixed
# unit name also keeps two activations of one host apart.
# Output: what COMMAND printed, then a last line "reconciler-status N".
# Exit status: 0 if that line was printed, 3 if the unit could not be started, 4 if it
# ended without a status (killed, out of time, or the host was rebooted under it).
set -u
PATH=/run/current-system/sw/bin:/run/wrappers/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
name=$1 seconds=$2
shift 2
[ "$1" = -- ] && shift
unit=reconciler-activation
dir=/run/reconciler/$name

if [ ! -d "$dir" ]; then
  # shellcheck disable=SC2016 # expanded by the unit's own shell
  problem=$(systemd-run --quiet --collect --unit="$unit" --service-type=exec \
    --description="reconciler: $name" --setenv=PATH="$PATH" \
    --property="RuntimeMaxSec=$seconds" --property=KillMode=mixed \
    /bin/sh -c '
      dir=$1; shift
      # The folder alone is private: the command keeps the umask that units have.
      (umask 077; mkdir -p "$dir")
      "$@" >"$dir/log" 2>&1 </dev/null
      status=$?
      cat "$dir/log"
      echo "$status" >"$dir/status.new" && mv "$dir/status.new" "$dir/status"
    ' sh "$dir" "$@" 2>&1) || {
    # The folder is there after all: an earlier start of ours got through.
    if [ ! -d "$dir" ]; then
      printf '%s\n' "$problem" >&2
      exit 3
    fi
  }
fi

while [ ! -e "$dir/status" ]; do
  case $(systemctl is-active "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading) sleep 0.05 ;;
    *)
      # It may have ended between the two looks.
      [ -e "$dir/status" ] && break
      cat "$dir/log" 2>/dev/null
      exit 4
      ;;
  esac
done
cat "$dir/log"
echo "reconciler-status $(cat "$dir/status")"
