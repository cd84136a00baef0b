# Upgrade from the previous version, and removal.
# shellcheck shell=bash

apt_install() { # ARGUMENT...
	check inside apt-get install -qy --no-install-recommends "$@"
}

# Up, down, and the same version again.
step_upgrade_leaves_stopped_what_is_stopped() {
	afresh
	check inside systemctl stop fibrpcd
	local how
	for how in '--allow-downgrades /srv/before.deb' '/srv/fibrpc.deb' '--reinstall /srv/fibrpc.deb'; do
		say "$how"
		# shellcheck disable=SC2086 # several arguments
		apt_install $how
		check is ActiveState inactive
		check [ "$(inside systemctl is-enabled fibrpcd)" = enabled ]
	done
	check inside systemctl start fibrpcd
	local pid
	pid=$(show MainPID)
	apt_install --reinstall /srv/fibrpc.deb
	check is ActiveState active
	check [ "$(show MainPID)" != "$pid" ]
	# Removal and installation is not an upgrade.
	check inside apt-get remove -qy fibrpc
	apt_install /srv/fibrpc.deb
	check is ActiveState active
	# Unless it is disabled.
	check inside systemctl disable --now fibrpcd
	check inside apt-get remove -qy fibrpc
	apt_install /srv/fibrpc.deb
	check is ActiveState inactive
	check inside systemctl enable --now fibrpcd
	within 20 serves
}

step_upgrade_keeps_edited_conffile() {
	afresh
	check inside apt-get purge -qy fibrpc
	check inside apt-get install -qy --no-install-recommends /srv/before.deb
	within 20 serves
	inside sed -i 's/^#prefetch = .*/prefetch = 33/' /etc/fibrpc.toml
	check inside systemctl restart fibrpcd
	within 20 prefetch_is 33
	# A further instance is upgraded with it.
	inside mkdir -p /etc/fibrpc
	inside tee /etc/fibrpc/reports.toml <<<$'[queue]\nname = "reports"'
	check inside systemctl start fibrpcd@reports
	local pid instance
	pid=$(show MainPID)
	instance=$(show MainPID fibrpcd@reports)
	journal_mark
	load_keep 100 20000
	check inside apt-get install -qy --no-install-recommends -o Dpkg::Options::=--force-confold /srv/fibrpc.deb
	check inside grep -qx 'prefetch = 33' /etc/fibrpc.toml
	load_result
	check [ "$(show MainPID)" != "$pid" ]
	check prefetch_is 33
	check [ "$(show MainPID fibrpcd@reports)" != "$instance" ]
	check [ "$(ask --queue reports 30)" = 832040 ]
	# "Started" once, and before it "finished its work".
	check [ "$(journal -o json | grep -c 148f8c7be36749b5aad921d65b0024d8)" = 1 ]
	check [ "$(journal -o json | grep -c 0f6de8c071ed41f48ce1f3734b80b10b)" = 1 ]
}

step_remove_stops() {
	check inside apt-get remove -qy fibrpc
	check [ "$(inside systemctl is-active fibrpcd)" != active ]
	check [ "$(inside systemctl is-active fibrpcd@reports)" != active ]
	check [ "$(inside pgrep -c fibrpcd)" = 0 ]
	check inside test -e /etc/fibrpc.toml
}

step_purge_leaves_nothing() {
	check inside apt-get purge -qy fibrpc
	# Files that this test has put there belong to the administrator, and stay.
	inside rm -rf /etc/fibrpc.toml.d /etc/fibrpc /etc/systemd/system/fibrpcd.service.d
	inside systemctl daemon-reload
	our_files | tee "$work/log/left"
	check [ ! -s "$work/log/left" ]
	check [ "$(show LoadState)" = not-found ]
	check [ "$(inside journalctl --list-catalog | grep -ci fibrpcd)" = 0 ]
}
