# Installing, with and without a broker.
# shellcheck shell=bash

step_install_without_broker() {
	all_files >"$work/log/files.before"
	install 20 --no-install-recommends /srv/fibrpc.deb
	check is ActiveState active
	check [ "$(inside systemctl is-enabled fibrpcd)" = enabled ]
	check status_has '^(waiting for|connecting to) broker localhost:5672, try [0-9]+'
	note "$(show StatusText)"
	# Without a broker, a request fails.
	local status=0
	inside fibrpc 30 || status=$?
	check [ $status = 69 ]
}

step_remove_and_purge_without_broker() {
	check inside apt-get purge -qy fibrpc
	our_files | tee "$work/log/left"
	check [ ! -s "$work/log/left" ]
	all_files >"$work/log/files.after"
	# The user stays, as do the backup files of /etc/passwd.
	diff "$work/log/files.before" "$work/log/files.after" | grep '^[<>]' |
		grep -vE '^> /etc/(\.pwd\.lock|(passwd|group|shadow|gshadow)-)$' | tee "$work/log/left" || true
	check [ ! -s "$work/log/left" ]
}

# The packages of Erlang are installed already; otherwise unpacking them would take most of the time.
step_install_with_recommended_broker() {
	install 20 /srv/fibrpc.deb
	check inside systemctl is-active rabbitmq-server
	within 35 serves
	note "serving $took s later"
}

step_purge_with_broker() {
	check inside apt-get purge -qy fibrpc
	our_files | tee "$work/log/left"
	check [ ! -s "$work/log/left" ]
	check inside systemctl is-active rabbitmq-server
}

step_install_with_broker_running() {
	install 20 --no-install-recommends /srv/fibrpc.deb
	check serves
}
