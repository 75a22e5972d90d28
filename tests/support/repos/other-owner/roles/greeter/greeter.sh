greet() { cat /etc/house/greeting; }

trap greet HUP
greet
while true; do
  sleep 3600 &
  pause=$!
  # A signal ends the wait, but not the pause.
  if wait "$pause" && [ "$QUIET" = false ]; then greet; fi
  kill "$pause" 2> /dev/null || true
done
