# The service with faults.
# shellcheck shell=bash

step_broken_configuration() {
	afresh
	configure 10-test <<<$'[server]\nprefech = 7'
	journal_mark
	check [ "$(inside systemctl restart fibrpcd >&2; say $?)" != 0 ]
	check is ActiveState failed
	check is ExecMainStatus 78
	within 5 journal_says '10-test.toml:2'
	# A restart would happen after 2 s.
	stays 6 is ActiveState failed
	check is NRestarts 0
	note "$(journal_says '10-test.toml:2' | head -n 1)"
	afresh
}

step_killed() {
	afresh
	local pid
	pid=$(show MainPID)
	local began=$SECONDS
	check inside kill -KILL "$pid"
	within 10 is NRestarts 1
	within $((10 - (SECONDS - began))) serves
	note "serving after $((SECONDS - began)) s"
	check [ "$(show MainPID)" != "$pid" ]
}

step_wedged() {
	afresh
	drop_in wedge <<<$'[Service]\nExecStart=\nExecStart=/srv/fibrpcd-wedge'
	check inside systemctl restart fibrpcd
	within 20 serves
	local pid began=$SECONDS
	pid=$(show MainPID)
	journal_mark
	check inside kill -USR1 "$pid"
	within 40 is NRestarts 1
	within $((40 - (SECONDS - began))) serves
	note "serving after $((SECONDS - began)) s"
	check journal_says '[Ww]atchdog timeout'
	afresh
}

step_broker_away_for_two_minutes() {
	afresh
	local pid
	pid=$(show MainPID)
	check inside systemctl stop rabbitmq-server
	within 15 status_has '^waiting for broker localhost:5672, try'
	stays 120 is MainPID "$pid"
	note "$(show StatusText)"
	check inside systemctl start rabbitmq-server
	within 35 serves
	note "serving $took s after the broker"
	check is MainPID "$pid"
	check is NRestarts 0
}

# A broker that is short of memory does not read from connections that publish, and notifies them when they do: there are
# always requests in flight whose replies are not published yet.
step_blocked_by_the_broker() {
	afresh
	journal_mark
	load_keep 200 1000000
	within 5 status_has ', [1-9][0-9]+ in flight$'
	check inside rabbitmqctl -q set_vm_memory_high_watermark 0
	within 20 status_has '^blocked by the broker: low on memory$'
	stays 5 is NRestarts 0
	check inside rabbitmqctl -q set_vm_memory_high_watermark 0.4
	within 20 status_has '^consuming rpc_queue on localhost:5672'
	load_result
	journal -x >"$work/log/blocked"
	check grep -q 'Subject: The broker at localhost:5672 accepts no replies for now' "$work/log/blocked"
	check grep -q 'Subject: The broker at localhost:5672 accepts replies again' "$work/log/blocked"
}
