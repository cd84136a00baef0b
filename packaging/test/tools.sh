# Functions for the steps of scripts/test-package; sourced by it. Uses $work.
# shellcheck shell=bash

# Passwords that must not appear anywhere contain this.
# shellcheck disable=SC2034 # used by the steps
canary=c4n4ry9f2e

# note TEXT...: is shown after PASS.
note() {
	say "note: $*"
}

# check COMMAND...: fails with a message if the command does.
check() {
	"$@" || {
		say "failed: $*"
		return 1
	}
}

# within SECONDS COMMAND...: waits for a condition; prints how long that took, in whole seconds.
within() {
	local began=$SECONDS limit=$1
	shift
	wait_until "$limit" "$@" || {
		say "not within $limit s: $*"
		return 1
	}
	took=$((SECONDS - began))
}

# stays SECONDS COMMAND...: fails if a condition ever fails during that time.
stays() {
	local end=$((SECONDS + $1))
	shift
	while [ $SECONDS -lt $end ]; do
		"$@" >/dev/null || {
			say "did not stay so: $*"
			return 1
		}
		sleep 0.5
	done
}

# Packages ---------------------------------------------------------------------------------------

# What the machine needs: the package, one that passes for the version before, callers, and the daemon
# that can be wedged.
put_packages() { # DEB
	local srv=$work/root/srv old=$work/fresh/old
	cp "$1" "$srv/fibrpc.deb"
	cp packaging/test/load.py packaging/test/dns.py packaging/test/deny.py "$srv/"
	cp target/package/fibrpcd-wedge "$srv/"
	rm -rf "$old"
	dpkg-deb --raw-extract "$1" "$old"
	sed -i 's/^Version: .*/Version: 0.0.1-1/' "$old/DEBIAN/control"
	say '# Said by the version before.' >>"$old/etc/fibrpc.toml"
	(cd "$old" && find etc usr -type f -exec md5sum {} + >DEBIAN/md5sums)
	dpkg-deb --root-owner-group --build "$old" "$srv/before.deb" >/dev/null
	rm -rf "$old"
}

# A daemon of the same source that SIGUSR1 wedges.
make_wedge() {
	local target=${CARGO_TARGET_DIR:-target}/wedge
	RUSTFLAGS='--cfg test_wedge' cargo build --quiet --locked --target-dir "$target" --bin fibrpcd || return 1
	cp "$target/debug/fibrpcd" target/package/fibrpcd-wedge
}

# install SECONDS ARGUMENT...: runs apt, which must succeed in time. One machine at a time: two brokers that
# start at the same time would compete for the processors.
install() {
	local limit=$1 began took
	shift
	exec 8>target/package/install.lock
	flock 8
	began=$(date +%s%N)
	check inside apt-get install -qy "$@" 8>&-
	exec 8>&-
	took=$((($(date +%s%N) - began) / 1000000))
	note "apt took $((took / 1000)).$((took % 1000 / 100)) s"
	check [ "$took" -le $((limit * 1000)) ]
}

# Our files, except logs, caches and those of this test.
our_files() {
	inside find / -xdev \( -path /srv -o -path /var/log -o -path /var/cache \) -prune -o -iname '*fibrpc*' -print
}

# All files that a package might create or leave behind.
all_files() {
	inside find / -xdev \( -path /srv -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg \
		-o -path /var/lib/apt -o -path /etc/fibrpc.toml.d \) -prune -o -print | sort
}

# The service --------------------------------------------------------------------------------------

show() { # PROPERTY [UNIT]
	inside systemctl show --value -p "$1" "${2:-fibrpcd}"
}

is() { # PROPERTY VALUE
	[ "$(show "$1")" = "$2" ]
}

status_has() { # PATTERN
	show StatusText | grep -E "$1"
}

# Calls without the configuration of the daemon.
ask() { # ARGUMENT...
	inside fibrpc --config /dev/null --timeout 2s "$@"
}

serves() {
	[ "$(ask 30)" = 832040 ]
}

configure() { # NAME: a drop-in of that name from standard input
	inside sh -c 'mkdir -p /etc/fibrpc.toml.d && cat >"/etc/fibrpc.toml.d/$1.toml"' - "$1"
}

drop_in() { # NAME: for the unit, from standard input
	inside sh -c 'mkdir -p /etc/systemd/system/fibrpcd.service.d
		cat >"/etc/systemd/system/fibrpcd.service.d/$1.conf"' - "$1"
	inside systemctl daemon-reload
}

# Restores the state of the package, whatever an earlier step has left.
afresh() {
	inside rm -rf /etc/fibrpc.toml.d /etc/fibrpc /etc/systemd/system/fibrpcd.service.d
	inside systemctl daemon-reload
	inside systemctl reset-failed
	check inside systemctl restart fibrpcd
	within 20 serves
}

# The journal --------------------------------------------------------------------------------------

# The journal from here on.
journal_mark() {
	inside journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p' >"$work/cursor"
	check [ -s "$work/cursor" ]
}

journal() { # ARGUMENT...: what the service has said since
	inside journalctl -u fibrpcd --no-pager --after-cursor="$(cat "$work/cursor")" "$@"
}

journal_says() { # PATTERN
	journal -o cat | grep -E "$1"
}

# Load ---------------------------------------------------------------------------------------------

# load_start COUNT N: returns when the broker has all requests.
load_start() {
	# shellcheck disable=SC2016 # expanded inside
	inside sh -c 'echo $$ >/run/load.pid; exec python3 /srv/load.py "$@"' - "$@" >"$work/log/load" 2>&1 &
	load=$!
	within 30 grep -q sent "$work/log/load"
}

# load_keep COUNT N: the same, but each answer is followed by a new request until load_result.
load_keep() {
	inside rm -f /run/load.end
	load_start "$@" --until /run/load.end
}

# load_result: ends the load; every request must have been answered once and correctly.
load_result() {
	local status=0
	inside touch /run/load.end
	wait "$load" || status=$?
	inside rm -f /run/load.pid
	cat "$work/log/load"
	note "$(tail -n 1 "$work/log/load" | tr -d '{}"')"
	check [ $status = 0 ]
}

load_end_all() {
	[ ! -s "$work/leader" ] || inside sh -c '[ ! -e /run/load.pid ] || kill "$(cat /run/load.pid)"; rm -f /run/load.pid' || true
}
