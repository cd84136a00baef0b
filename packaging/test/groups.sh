# Control groups for the machines of scripts/test-package; sourced by it. Uses $release.
#
# systemd in a machine treats its group as the root of all groups, so each machine needs its own. On a host with
# systemd this happens automatically. On a host without, such as a CI container, it is done here: in the unified
# hierarchy, or in the older ones, some of which systemd-nspawn passes on read-only.
# shellcheck shell=bash

# The controllers that the limits of the unit require.
controllers=(memory pids)

groups_by_systemd() {
	[ -d /run/systemd/system ]
}

one_hierarchy() {
	[ -e /sys/fs/cgroup/cgroup.controllers ]
}

# The group in which this script was started, one folder per relevant hierarchy.
own_groups=()
find_own_groups() {
	local hierarchy own
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	if one_hierarchy; then
		own_groups=("/sys/fs/cgroup$own")
		return
	fi
	# Beside the older ones there may be the new one, without controllers, in which systemd tracks processes.
	[ ! -d /sys/fs/cgroup/unified ] || own_groups+=("/sys/fs/cgroup/unified$own")
	for hierarchy in systemd "${controllers[@]}"; do
		own_groups+=("/sys/fs/cgroup/$hierarchy$(sed -nE "s/^[0-9]+:(name=)?$hierarchy://p" /proc/self/cgroup)")
	done
}

# Makes groups with all controllers possible for machines, or fails with the reason.
groups_prepare() {
	local group pid wanted="${controllers[*]/#/+}"
	find_own_groups
	for group in "${own_groups[@]}"; do
		# shellcheck disable=SC2016 # expanded inside
		groups_by_systemd || can 'make control groups' sh -ec 'mkdir "$1" && rmdir "$1"' - "$group/fibrpc-probe"
	done
	one_hierarchy || return 0
	group=${own_groups[0]}
	for pid in "${controllers[@]}"; do
		grep -qw "$pid" "$group/cgroup.controllers" ||
			fail "there is no controller for $pid in $group, which the limits of the unit require"
	done
	if groups_by_systemd || say "$wanted" 2>/dev/null >"$group/cgroup.subtree_control"; then
		return
	fi
	# A group passes on controllers only if it has no processes itself: move them one level down.
	mkdir -p "$group/fibrpc-others"
	while read -r pid; do
		say "$pid" >"$group/fibrpc-others/cgroup.procs" || true
	done <"$group/cgroup.procs" 2>/dev/null
	say "$wanted" >"$group/cgroup.subtree_control" || fail "this machine does not pass on controllers from $group"
}

# Puts this process, and thereby the machine that it becomes, into separate groups.
groups_enter() {
	local group
	groups_by_systemd && return
	for group in "${own_groups[@]}"; do
		mkdir -p "$group/fibrpc-$release"
		say "$BASHPID" >"$group/fibrpc-$release/cgroup.procs"
	done
}

groups_remove() {
	local group
	groups_by_systemd && return
	for group in "${own_groups[@]}"; do
		find "$group/fibrpc-$release" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
}
