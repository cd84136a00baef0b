# The drop-ins in the package, installed as their first lines describe. Those for credentials are in
# secrets.sh.
# shellcheck shell=bash

example() { # NAME
	cat "$work/root/usr/share/doc/fibrpc/examples/$1.conf"
}

# The limits that the kernel has for the service.
kernel_memory_limit() {
	local group
	group=$(show ControlGroup)
	inside sh -c 'cat "/sys/fs/cgroup/memory$1/memory.limit_in_bytes" 2>/dev/null ||
		cat "/sys/fs/cgroup$1/memory.max"' - "$group"
}

step_example_memory() {
	afresh
	check [ "$(kernel_memory_limit)" = $((512 << 20)) ]
	example memory | drop_in memory
	check inside systemctl restart fibrpcd
	within 20 serves
	check [ "$(kernel_memory_limit)" = $((2 << 30)) ]
}

# The addresses in the example are unassigned; here they, and one more, belong to this machine.
step_example_ip_address_allow() {
	afresh
	tester
	local address
	for address in 192.0.2.10 192.0.2.99; do
		inside ip address replace "$address/32" dev lo
	done
	example ip-address-allow | drop_in ip-address-allow
	configure 20-broker <<<"[broker]
url = \"amqp://tester:$canary@192.0.2.10\""
	journal_mark
	check inside systemctl restart fibrpcd
	within 20 status_has '^consuming rpc_queue on 192.0.2.10:5672'
	check serves
	configure 20-broker <<<"[broker]
url = \"amqp://tester:$canary@192.0.2.99\""
	check inside systemctl reload fibrpcd
	if [ "$(inside stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
		note 'skipped: systemd filters addresses only with the unified control group hierarchy, which this host lacks'
		return
	fi
	within 20 status_has '^waiting for broker 192.0.2.99:5672'
	note "$(show StatusText)"
}

# systemd in the machine is executed again with a filter for itself and all its children, so that from here on no service can
# get user, mount and similar namespaces. A kernel limit would affect the whole host.
step_example_container() {
	afresh
	# shellcheck disable=SC2016 # expanded inside
	check inside sh -euc '
		real=/usr/lib/systemd/systemd
		mv $real $real.real
		{
			printf "#!/bin/sh\nmv %s.real %s\nexec python3 /srv/deny.py %s \"\$@\"" $real $real $real
			tr "\000" " " </proc/1/cmdline | sed "s/[^ ]*//"
		} >$real
		chmod +x $real
		systemctl daemon-reexec'
	check [ "$(inside sed -n 's/^Seccomp:[[:space:]]*//p' /proc/1/status)" = 2 ]
	inside systemctl restart fibrpcd && return 1
	check is ExecMainStatus 226
	stays 5 is ActiveState failed
	check is NRestarts 0
	drop_in only-users <<<$'[Service]\nPrivateUsers=yes'
	example container | drop_in container
	inside systemctl restart fibrpcd && return 1
	check is ExecMainStatus 217
	inside rm /etc/systemd/system/fibrpcd.service.d/only-users.conf
	inside systemctl daemon-reload
	check inside systemctl restart fibrpcd
	within 20 serves
	check inside systemctl reload fibrpcd
	note "$(inside sh -c 'grep -c "=no$" /etc/systemd/system/fibrpcd.service.d/container.conf') directives off"
}
