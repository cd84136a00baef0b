# The machine of scripts/test-package; sourced by it. Uses $release and $work.
# shellcheck shell=bash

# Increase this when make_tree changes.
tree_version=1

need_tools() {
	need_commands debootstrap=debootstrap systemd-nspawn=systemd-container dpkg-deb=dpkg
}

# What this machine must allow root to do. Checked here, so that the error is not a machine that does not boot.
need_capabilities() {
	local probe=$PWD/target/package/probe
	mkdir -p "$probe"
	# In a separate mount namespace, so that nothing stays mounted.
	can 'make namespaces (CAP_SYS_ADMIN)' unshare --mount --uts --ipc --net --pid --fork true
	can 'mount a file system (CAP_SYS_ADMIN)' unshare --mount mount -t tmpfs probe "$probe"
	# shellcheck disable=SC2016 # expanded inside
	can 'mount an overlay over a tmpfs' unshare --mount sh -ec '
		mount -t tmpfs probe "$1"
		mkdir "$1/lower" "$1/upper" "$1/work" "$1/root"
		mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" probe "$1/root"' - "$probe"
	# shellcheck disable=SC2016 # expanded inside
	can 'make device nodes (CAP_MKNOD)' unshare --mount sh -ec '
		mount -t tmpfs probe "$1"
		mknod "$1/null" c 1 3
		: >"$1/null"' - "$probe"
	groups_prepare
	rmdir "$probe"
}

can() { # WHAT COMMAND...
	local what=$1 said
	shift
	said=$("$@" 2>&1) || fail "this machine does not allow root to $what, which a container with systemd requires: $said"
}

# The tree of the release: systemd, another client, the dependencies of RabbitMQ, and RabbitMQ itself as
# packages in apt's cache, since installing it is part of the test.
make_tree() {
	local tree=$work/tree new=$work/tree.new
	[ "$(cat "$work/tree.version" 2>/dev/null)" != "$tree_version" ] || return 0
	say "making a tree of $release with debootstrap; this happens once"
	rm -rf "$tree" "$new"
	bootstrap "$release" "$new" "$work/debootstrap.log" \
		systemd systemd-sysv dbus iproute2 procps openssl ca-certificates man-db python3-pika
	# The cache is the only package source of the machine.
	say 'APT::Keep-Downloaded-Packages "true";' >"$new/etc/apt/apt.conf.d/90keep"
	printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
	chmod +x "$new/usr/sbin/policy-rc.d"
	cp /etc/resolv.conf "$new/etc/resolv.conf"
	DEBIAN_FRONTEND=noninteractive chroot "$new" sh -ec '
		apt-get update -q
		apt-get install -qy rabbitmq-server
		apt-get purge -qy rabbitmq-server
	' >>"$work/debootstrap.log" 2>&1 || fail "cannot prepare the tree: see $work/debootstrap.log"
	rm "$new/usr/sbin/policy-rc.d"
	: >"$new/etc/resolv.conf"
	printf 'testbed\n' >"$new/etc/hostname"
	printf '127.0.0.1 localhost testbed\n::1 localhost\n' >"$new/etc/hosts"
	mv "$new" "$tree"
	say "$tree_version" >"$work/tree.version"
}

machine_start() {
	local root=$work/root fresh=$work/fresh init=(--boot) registered=()
	rm -rf "$work/log"
	mkdir -p "$root" "$fresh" "$work/log"
	mount -t tmpfs -o size=2g,mode=755 fibrpc-test "$fresh"
	mkdir "$fresh/upper" "$fresh/work"
	mount -t overlay -o "lowerdir=$work/tree,upperdir=$fresh/upper,workdir=$fresh/work" fibrpc-test "$root"
	# Without systemd on the host, no scope can be requested.
	groups_by_systemd || registered=(--keep-unit)
	if ! one_hierarchy; then
		# systemd-nspawn passes these controllers on read-only. They belong to this machine.
		cat >"$root/sbin/init-with-controllers" <<-'END'
			#!/bin/sh
			for controller in memory pids; do
				mount -o remount,bind,rw /sys/fs/cgroup/$controller
			done
			exec /lib/systemd/systemd SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
		END
		chmod +x "$root/sbin/init-with-controllers"
		init=(--kill-signal=SIGRTMIN+3 /sbin/init-with-controllers)
	fi
	(
		groups_enter
		# bpf: systemd uses it to filter addresses.
		exec systemd-nspawn --quiet --system-call-filter=bpf --register=no "${registered[@]}" --private-network --link-journal=no \
			--console=pipe --machine="fibrpc-$release" --directory="$root" "${init[@]}"
	) </dev/null >"$work/log/console" 2>&1 9>&- &
	say $! >"$work/nspawn"
	wait_until 90 booted || {
		tail -n 20 "$work/log/console" >&2
		[ ! -s "$work/leader" ] || inside systemctl --no-pager --failed >&2 || true
		fail "the machine of $release does not boot within 90 s; its last messages are above"
	}
}

# Finds the process with id 1 inside, and waits until it has started everything.
booted() {
	local pid
	for pid in $(pgrep -P "$(cat "$work/nspawn")"); do
		if [ "$(sed -n 's/^NSpid:.*\t//p' "/proc/$pid/status")" = 1 ]; then
			say "$pid" >"$work/leader"
			[ "$(inside systemctl is-system-running)" = running ] && return
		fi
	done
	return 1
}

# inside COMMAND...: runs a command in the machine, for at most five minutes.
inside() {
	timeout 300 nsenter -t "$(cat "$work/leader")" -m -u -i -n -p -C -r -w \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive \
		PYTHONDONTWRITEBYTECODE=1 "$@"
}

machine_end() {
	trap '' INT TERM
	if [ -s "$work/nspawn" ] && kill -0 "$(cat "$work/nspawn")" 2>/dev/null; then
		# Nothing in it requires a clean shutdown.
		kill -KILL "$(cat "$work/leader")" 2>/dev/null || true
		wait_until 20 machine_gone || kill -KILL "$(cat "$work/nspawn")" || true
	fi
	rm -f "$work/nspawn" "$work/leader"
	groups_remove
	umount "$work/root" 2>/dev/null || umount -l "$work/root" 2>/dev/null || true
	umount "$work/fresh" 2>/dev/null || umount -l "$work/fresh" 2>/dev/null || true
}

machine_gone() {
	! kill -0 "$(cat "$work/nspawn")" 2>/dev/null
}
