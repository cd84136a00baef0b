# The service without faults.
# shellcheck shell=bash

step_start_and_ask() {
	inside systemctl stop fibrpcd
	check [ "$(inside sh -c 'systemctl start fibrpcd && fibrpc 30')" = 832040 ]
	check [ "$(inside stat -c %U "/proc/$(show MainPID)")" = fibrpcd ]
	# Everyone may read it, since it contains no secrets.
	check [ "$(inside stat -c %a:%U /etc/fibrpc.toml)" = 644:root ]
}

step_status_is_true() {
	within 3 status_has '^consuming rpc_queue on localhost:5672, 0 in flight$'
	check inside systemctl status fibrpcd | tee "$work/log/status"
	check grep -q 'Status: "consuming rpc_queue on localhost:5672, 0 in flight"' "$work/log/status"
	load_keep 40 1000000
	within 3 status_has '^consuming rpc_queue on localhost:5672, [1-9][0-9]* in flight$'
	load_result
	within 3 status_has ', 0 in flight$'
}

step_idle() {
	afresh
	# Long enough for the thread that looked up the broker's address to end.
	stays 12 is ActiveState active
	local bytes
	bytes=$(show MemoryCurrent)
	note "memory $((bytes / 104858 / 10)).$((bytes / 104858 % 10)) MiB"
	note "tasks $(show TasksCurrent)"
	note "resident $(inside sed -n "s/VmRSS:[[:space:]]*//p" "/proc/$(show MainPID)/status"), including mapped files"
	check [ "$bytes" -lt $((64 << 20)) ]
}

step_verify_and_exposure() {
	inside systemd-analyze verify fibrpcd.service fibrpcd@reports.service >"$work/log/verify" 2>&1
	cat "$work/log/verify"
	check [ "$(grep -c fibrpc "$work/log/verify")" = 0 ]
	check inside systemd-analyze security --no-pager --threshold=11 fibrpcd.service >"$work/log/security"
	note "exposure $(sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p' "$work/log/security")"
}

step_journal_has_fields() {
	journal_mark
	inside systemctl restart fibrpcd
	within 20 serves
	within 5 journal_says '.'
	journal -o json >"$work/log/journal.json"
	# The event "connected".
	grep 46642ac6820d4923b17b44943eef139c "$work/log/journal.json" >"$work/log/connected.json"
	cat "$work/log/connected.json"
	# All our fields are distinguished from those of systemd by name.
	check [ "$(grep '"SYSLOG_IDENTIFIER" *: *"fibrpcd"' "$work/log/journal.json" | field_names |
		grep -vE '^(_.*|FIBRPC_[A-Z0-9_]+|MESSAGE|MESSAGE_ID|PRIORITY|SYSLOG_IDENTIFIER|CODE_FILE|CODE_LINE|TARGET)$')" = '' ]
	local field
	for field in '"FIBRPC_ENDPOINT":"localhost:5672"' '"FIBRPC_QUEUE":"rpc_queue"' '"SYSLOG_IDENTIFIER":"fibrpcd"' \
		'"PRIORITY":"[56]"' '"_TRANSPORT":"journal"'; do
		check grep -Eq "$(sed 's/":"/" *: *"/' <<<"$field")" "$work/log/connected.json"
	done
}

field_names() {
	python3 -c 'import json, sys
for line in sys.stdin: print("\n".join(json.loads(line)))' | sort -u
}

step_journal_explains() {
	journal_mark
	inside systemctl restart fibrpcd
	within 20 serves
	within 5 journal_says '.'
	journal -x >"$work/log/explained"
	cat "$work/log/explained"
	check grep -q 'connected to the broker at localhost:5672 and answers' "$work/log/explained"
	check grep -q 'Subject: fibrpcd is stopping' "$work/log/explained"
}

step_manual_pages() {
	local page
	for page in '8 fibrpcd' '1 fibrpc' '5 fibrpc.toml'; do
		# shellcheck disable=SC2086 # section and name
		inside man $page >"$work/log/page"
		check grep -q '^SEE ALSO' "$work/log/page"
	done
	check inside fibrpcd --version
	check inside fibrpc --version
}

step_completions() {
	check inside bash -c '. /usr/share/bash-completion/completions/fibrpc && complete -p fibrpc'
	check inside grep -q '^#compdef fibrpc' /usr/share/zsh/vendor-completions/_fibrpc
	check inside grep -q 'complete -c fibrpc' /usr/share/fish/vendor_completions.d/fibrpc.fish
}

# More requests wait in the queue than are delivered at once: those that are delivered stay in flight until
# STATUS shows them.
step_stop_under_load() {
	afresh
	configure 10-test <<<$'[server]\nprefetch = 1000\nconcurrency = 1'
	check inside systemctl stop fibrpcd
	load_start 4000 500000
	check inside systemctl start fibrpcd
	within 5 status_has ', ([5-9][0-9][0-9]|1000) in flight$'
	journal_mark
	check inside systemctl stop fibrpcd
	check is Result success
	check is ExecMainStatus 0
	local in_flight
	in_flight=$(journal -o json | sed -n 's/.*"FIBRPC_IN_FLIGHT" *: *"\([0-9]*\)".*/\1/p' | head -n 1)
	note "$in_flight in flight at the stop"
	check [ "$in_flight" -ge 500 ]
	configure 10-test </dev/null
	check inside systemctl start fibrpcd
	load_result
}

# The daemon assumes that the unit allows 45 s. This unit allows less, so that the test need not wait. The broker accepts no
# reply until the test lets it, so that one request stays in flight.
step_stop_takes_longer_than_the_unit_allows() {
	afresh
	drop_in stop <<<$'[Service]\nTimeoutStopSec=3s'
	configure 10-test <<<$'[server]\ndrain_timeout = "41s"'
	check inside systemctl stop fibrpcd
	inside fibrpc --config /dev/null --wait --timeout 60s 100000 >"$work/log/digits" &
	local asking=$! began
	within 10 waiting_is 1
	check inside rabbitmqctl -q set_vm_memory_high_watermark 0
	check inside systemctl start fibrpcd
	within 20 status_has '^blocked by the broker: low on memory$'
	began=$SECONDS
	inside systemctl stop fibrpcd &
	local stopping=$!
	within 3 status_has '^draining, 1 left, [0-9]+s$'
	while [ $((SECONDS - began)) -le 5 ]; do
		check is ActiveState deactivating
		sleep 0.5
	done
	check inside rabbitmqctl -q set_vm_memory_high_watermark 0.4
	wait "$stopping"
	note "stopped after $((SECONDS - began)) s"
	check [ $((SECONDS - began)) -gt 4 ]
	check is Result success
	wait "$asking"
	check [ "$(wc -c <"$work/log/digits")" = 20900 ]
}

# Transforms choose their instructions at run time, and their memory is mapped: the system call filter and
# MemoryDenyWriteExecute allow both. An idle service does not keep the memory of large numbers.
step_large_numbers_are_answered() {
	afresh
	configure 10-test <<<$'[server]\nmax_n = 30000000'
	check inside systemctl reload-or-restart fibrpcd
	local pid rss
	for _ in 1 2 3; do
		inside fibrpc --config /dev/null --wait --timeout 60s 30000000 >"$work/log/digits"
		check [ "$(wc -c <"$work/log/digits")" = 6269630 ]
	done
	pid=$(show MainPID)
	rss=$(inside awk '/^Rss/ {print $2}' "/proc/$pid/smaps_rollup")
	note "$rss KiB resident"
	check [ "$rss" -lt 51200 ]
}

# Unfinished requests go back to the broker: this is a normal stop, which leaves no unit failed.
step_stop_that_hands_back() {
	afresh
	configure 10-test <<<$'[server]\ndrain_timeout = "10ms"\nmax_n = 500000000\nmax_reply_bytes = "200MiB"'
	check inside systemctl restart fibrpcd
	inside fibrpc --config /dev/null --timeout 100s 400000000 >"$work/log/answer" 2>&1 &
	local asking=$!
	within 10 status_has ', 1 in flight$'
	check inside systemctl stop fibrpcd
	check is ExecMainStatus 75
	check is Result success
	check is ActiveState inactive
	check [ "$(inside systemctl is-system-running)" = running ]
	within 10 waiting_is 1
	# With the default max_n the daemon answers with an error at once.
	configure 10-test </dev/null
	check inside systemctl start fibrpcd
	local status=0
	wait "$asking" || status=$?
	cat "$work/log/answer"
	check [ "$status" = 65 ]
	check grep -q 'above this server.s limit' "$work/log/answer"
}

waiting_is() { # COUNT: messages in the queue
	inside rabbitmqctl -q list_queues name messages | grep -E "^rpc_queue[[:space:]]+$1\$"
}

step_restart_under_load() {
	afresh
	local round
	load_keep 100 20000
	for round in $(seq 20); do
		check inside systemctl restart fibrpcd
		say "restart $round"
	done
	check is NRestarts 0
	load_result
}

prefetch_is() { # NUMBER: the limit that is in force; the broker sees less while there is less to do
	# With defaults: the configuration may be invalid, or only for the service.
	inside fibrpc --config /dev/null status --json | grep -E "\"prefetch\": *$1[,}]"
}

step_reload_good() {
	afresh
	local pid
	pid=$(show MainPID)
	check prefetch_is 2000
	load_keep 200 20000
	configure 10-test <<<$'[server]\nprefetch = 7'
	check inside systemctl reload fibrpcd
	within 10 prefetch_is 7
	# And one that requires a new session.
	configure 10-test <<<$'[server]\nprefetch = 9\n[broker]\nheartbeat = "20s"'
	check inside systemctl reload fibrpcd
	within 20 prefetch_is 9
	check is MainPID "$pid"
	load_result
	# What an operator does first if something is wrong: takes effect at once, until it is reverted.
	journal_mark
	check inside fibrpc 31
	check [ "$(journal_says '^answered')" = '' ]
	configure 20-log <<<$'[log]\nlevel = "debug"'
	check inside systemctl reload fibrpcd
	check inside fibrpc 31
	within 5 journal_says '^answered'
	check is MainPID "$pid"
}

# The check is a process beside the daemon, in the control group whose tasks the unit limits.
step_reload_with_all_threads_at_work() {
	afresh
	configure 10-test <<<$'[server]\nprefetch = 1000\nconcurrency = 300'
	check inside systemctl stop fibrpcd
	# All of them wait for the daemon, so that it gets as many as it accepts at once, which memory limits.
	load_start 1000 1000000
	check inside systemctl start fibrpcd
	within 20 tasks_are_more_than 30
	configure 20-test <<<$'[server]\nprefetch = 999'
	check inside systemctl reload fibrpcd
	within 10 prefetch_is 999
	note "tasks $(show TasksCurrent) of $(show TasksMax)"
	load_result
}

tasks_are_more_than() { # NUMBER
	[ "$(show TasksCurrent)" -gt "$1" ]
}

# A later systemd sends the signal itself and waits for READY=1 after RELOADING=1 with its timestamp.
step_reload_of_type_notify_reload() {
	afresh
	if [ "$release" = bookworm ]; then
		note 'skipped: not supported by this systemd'
		return
	fi
	drop_in type <<<$'[Service]\nType=notify-reload\nExecReload='
	check inside systemctl restart fibrpcd
	local pid
	pid=$(show MainPID)
	configure 10-test <<<$'[server]\nprefetch = 7'
	check inside systemctl reload fibrpcd
	check is ActiveState active
	within 10 prefetch_is 7
	configure 10-test <<<$'[server]\nprefetch = 0'
	inside systemctl reload fibrpcd || true
	within 5 status_has 'reload refused: .*server\.prefetch'
	check is ActiveState active
	check is MainPID "$pid"
}

step_reload_bad() {
	afresh
	local pid
	pid=$(show MainPID)
	configure 10-test <<<$'[server]\nprefetch = 0'
	journal_mark
	check [ "$(inside systemctl reload fibrpcd >&2; say $?)" != 0 ]
	check is MainPID "$pid"
	check serves
	check prefetch_is 2000
	within 5 journal_says '/etc/fibrpc.toml.d/10-test.toml:2.*;.*'
	journal_says 'server\.prefetch' >"$work/log/problem"
	cat "$work/log/problem"
	# One that the check does not detect.
	check inside systemctl kill --kill-who=main -s HUP fibrpcd
	within 5 status_has 'reload refused: .*server\.prefetch'
	check is ActiveState active
	check serves
	configure 10-test </dev/null
	check inside systemctl reload fibrpcd
	within 5 status_has ' in flight$'
	check is MainPID "$pid"
}

# A link to /dev/null is an empty file, in the service's private /dev as well.
step_masked_drop_in() {
	afresh
	configure 60-local <<<$'[server]\nprefetch = 7'
	check inside systemctl reload fibrpcd
	within 10 prefetch_is 7
	inside ln -sf /dev/null /etc/fibrpc.toml.d/60-local.toml
	check inside systemctl reload fibrpcd
	within 10 prefetch_is 2000
	check inside systemctl restart fibrpcd
	within 20 serves
}

step_instance() {
	afresh
	inside mkdir -p /etc/fibrpc
	inside tee /etc/fibrpc/reports.toml <<<$'[queue]\nname = "reports"'
	check inside systemctl start fibrpcd@reports
	check [ "$(ask --queue reports 30)" = 832040 ]
	check inside test -d /var/lib/fibrpcd/reports
	check inside systemctl reload fibrpcd@reports
	check inside systemctl stop fibrpcd@reports
	check [ "$(show Result fibrpcd@reports)" = success ]
}

# Its folder is beside the state file of the main service.
step_instance_named_session() {
	afresh
	inside mkdir -p /etc/fibrpc
	inside tee /etc/fibrpc/session.toml <<<$'[queue]\nname = "session"'
	local order
	for order in 'fibrpcd fibrpcd@session' 'fibrpcd@session fibrpcd'; do
		say "$order"
		check inside systemctl stop fibrpcd fibrpcd@session
		check inside systemctl start "${order% *}"
		check inside systemctl start "${order#* }"
		check serves
		check [ "$(ask --queue session 30)" = 832040 ]
		# Both record the requests in work.
		check [ "$(inside find /var/lib/fibrpcd -maxdepth 1 -name '+requests' | wc -l)" = 1 ]
		check [ "$(inside find /var/lib/fibrpcd/session -name '+requests' | wc -l)" = 1 ]
	done
	check inside systemctl stop fibrpcd@session
}

# A restart every 2 s would not fix such a fault, and would bury its message.
step_setup_that_fails_is_not_repeated() {
	afresh
	inside mkdir -p /etc/fibrpc
	inside tee /etc/fibrpc/nowhere.toml <<<$'[queue]\nname = "nowhere"'
	inside touch /var/lib/fibrpcd/nowhere
	inside systemctl start fibrpcd@nowhere && return 1
	check [ "$(show ExecMainStatus fibrpcd@nowhere)" = 238 ]
	check [ "$(show ActiveState fibrpcd@nowhere)" = failed ]
	stays 5 inside systemctl is-failed fibrpcd@nowhere
	check [ "$(show NRestarts fibrpcd@nowhere)" = 0 ]
	# It starts as usual once that is fixed.
	inside rm /var/lib/fibrpcd/nowhere
	check inside systemctl start fibrpcd@nowhere
	check inside systemctl stop fibrpcd@nowhere
}
