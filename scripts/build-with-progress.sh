#!/bin/sh
# Runs `cargo build` with the arguments given and shows progress: on a terminal a bar with the remaining
# time, elsewhere a line every 30 seconds. How long a whole build took is kept for the next one, in
# BUILD_RECORD (seconds, then how many of them were gone when each tenth of the units was built).
set -eu
# Measured on two cores (docs/CONTRIBUTING.md); other machines differ by a factor that shows after a while.
usual="480 0 22 46 71 89 109 136 188 252 311 480"
record=${BUILD_RECORD:-${XDG_STATE_HOME:-$HOME/.local/state}/nsys-demo/build}
every=${BUILD_REPORT_EVERY:-30}

# Without it the bar could not be read as it comes; cargo draws one of its own.
command -v stdbuf >/dev/null || exec cargo build "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
known=$(cat "$record" 2>/dev/null || true)
case $known in
  "" | *[!0-9\ ]*) known=$usual ;;
esac

text() {
  if [ "$1" -lt 90 ]; then echo "$1 s"; else echo "$((($1 + 30) / 60)) min"; fi
}

# Seconds of the known build that were gone at so many thousandths of its units.
gone_at() {
  thousandths=$1
  # shellcheck disable=SC2086  # a list of numbers
  set -- $known
  [ $# -eq 12 ] || set -- $usual
  shift
  shift $((thousandths / 100))
  if [ $# -gt 1 ]; then echo $(($1 + ($2 - $1) * (thousandths % 100) / 100)); else echo "$1"; fi
}

# What is left after `elapsed` seconds, by how much faster or slower this build is than the known one.
left() {
  before=$(gone_at $((first * 1000 / total))) now=$(gone_at $((built * 1000 / total))) end=$(gone_at 1000)
  here=$((now - before))
  # Too early to tell the speed of this machine.
  if [ $here -lt 20 ]; then
    left=$((end - before - elapsed))
  else
    left=$(((end - now) * elapsed / here))
  fi
  [ "$left" -gt 0 ] || left=1
  text "$left"
}

show() {
  if [ -t 1 ]; then
    bar="" step=0
    while [ $step -lt 30 ]; do
      if [ $((step * total)) -lt $((built * 30)) ]; then bar="$bar#"; else bar="$bar."; fi
      step=$((step + 1))
    done
    printf '\r\033[K[%s] %s of %s units, about %s left' "$bar" "$built" "$total" "$(left)"
  elif [ "$elapsed" -ge $((reported + every)) ]; then
    reported=$elapsed
    echo "building: $built of $total units after $(text "$elapsed"), about $(left) left"
  fi
}

follow() {
  first="" tenth=0 reported=0 times=""
  while IFS= read -r line; do
    case $line in
      *Building*\[*\]\ *[0-9]/[0-9]*)
        rest=${line##*\] }
        built=${rest%%/*} total=${rest#*/}
        total=${total%%[!0-9]*}
        elapsed=$(($(date +%s) - start))
        [ -n "$first" ] || first=$built
        while [ $tenth -le 10 ] && [ $((built * 10)) -ge $((tenth * total)) ]; do
          times="$times $elapsed" tenth=$((tenth + 1))
        done
        show
        ;;
      *Compiling\ * | *Downloaded\ * | "") ;;
      *)
        if [ -t 1 ]; then printf '\r\033[K'; fi
        echo "$line"
        ;;
    esac
  done
  if [ -t 1 ]; then printf '\r\033[K'; fi
  echo "${first:-0} ${total:-0} $tenth$times" >"$work/seen"
}

start=$(date +%s)
{
  CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 CARGO_TERM_COLOR=never cargo build "$@" 2>&1 || echo $? >"$work/failed"
} | stdbuf -o0 tr '\r' '\n' | follow
if [ -s "$work/failed" ]; then exit "$(cat "$work/failed")"; fi
took=$(($(date +%s) - start))
echo "built in $(text $took)"
# Only a build from nothing tells how long one takes.
read -r first total tenth times <"$work/seen"
if [ "$total" -ge 300 ] && [ $((first * 20)) -lt "$total" ] && [ "$tenth" -ge 10 ]; then
  mkdir -p "$(dirname "$record")"
  # The last unit may be shown as built or not.
  if [ "$tenth" -eq 10 ]; then times="$times $took"; fi
  echo "$took $times" >"$record"
fi
