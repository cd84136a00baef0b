# The control groups of the machines that scripts/test-package drives; sourced by it. Uses $release.
#
# systemd in a machine takes its group for the root of all groups, so each machine needs one of its own. On
# a host with systemd that is done for us. On one without, as in a container of a CI, it is done here: in the
# one hierarchy of these days, or in the older ones, of which systemd-nspawn hands on some read-only.
# shellcheck shell=bash

# What limits of the unit need.
controllers=(memory pids)

groups_by_systemd() {
	[ -d /run/systemd/system ]
}

one_hierarchy() {
	[ -e /sys/fs/cgroup/cgroup.controllers ]
}

# The group that this script was started in, one folder for each hierarchy that matters.
own_groups=()
find_own_groups() {
	local hierarchy own
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	if one_hierarchy; then
		own_groups=("/sys/fs/cgroup$own")
		return
	fi
	# Beside the older ones there may be the new one, without controllers, for systemd to count processes in.
	[ ! -d /sys/fs/cgroup/unified ] || own_groups+=("/sys/fs/cgroup/unified$own")
	for hierarchy in systemd "${controllers[@]}"; do
		own_groups+=("/sys/fs/cgroup/$hierarchy$(sed -nE "s/^[0-9]+:(name=)?$hierarchy://p" /proc/self/cgroup)")
	done
}

# Sees to it that machines can have groups with all controllers, or says why not.
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
			fail "this machine has no controller for $pid in $group, without which limits of the unit cannot be tested"
	done
	if groups_by_systemd || say "$wanted" 2>/dev/null >"$group/cgroup.subtree_control"; then
		return
	fi
	# A group hands controllers on only where it has no processes itself: these go one down.
	mkdir -p "$group/fibrpc-others"
	while read -r pid; do
		say "$pid" >"$group/fibrpc-others/cgroup.procs" || true
	done <"$group/cgroup.procs" 2>/dev/null
	say "$wanted" >"$group/cgroup.subtree_control" || fail "this machine hands no controllers on from $group"
}

# Puts this process, and so the machine that it becomes, into groups of its own.
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
