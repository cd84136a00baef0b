# The telemetry endpoint: local socket, TCP, a socket unit, probes, and a daemon that hangs.
# shellcheck shell=bash

listen() { # ADDRESS: where the service and the probes of this machine look
	configure 30-telemetry <<<"[telemetry]
listen = \"$1\""
}

# probe WHAT [USER]: asks as this user.
probe() {
	inside runuser -u "${2:-root}" -- fibrpcd --probe "$1" 2>&1
}

probe_says() { # WHAT PATTERN
	local said
	said=$(probe "$1") || true # it fails if the answer is no
	grep -E "$2" <<<"$said"
}

# fetch PATH: from TCP port 9464.
fetch() {
	inside python3 -c 'import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9464" + sys.argv[1], timeout=5).read().decode())' "$1"
}

step_telemetry_local_socket() {
	afresh
	check [ "$(probe live >&2; say $?)" = 78 ]
	example telemetry | drop_in telemetry
	listen unix:/run/fibrpcd/telemetry.sock
	check inside systemctl restart fibrpcd
	within 20 serves
	within 5 probe ready
	check [ "$(inside stat -c '%a %U %G' /run/fibrpcd/telemetry.sock)" = '660 fibrpcd fibrpcd' ]
	check probe ready fibrpcd
	# Who is not in the group may not ask.
	check [ "$(probe live nobody >&2; say $?)" = 1 ]
	check inside systemd-analyze security --no-pager --threshold=11 fibrpcd.service >"$work/log/security"
	note "exposure $(sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p' "$work/log/security")"
	# A broker that is down is no reason to restart it.
	check inside systemctl stop rabbitmq-server
	within 15 probe_says ready '^fibrpcd: not ready: waiting for broker'
	check probe live
	check inside systemctl start rabbitmq-server
	within 35 probe ready
	check inside systemctl stop fibrpcd
	check [ "$(probe live >&2; say $?)" = 1 ]
	check inside test ! -e /run/fibrpcd
}

step_telemetry_tcp() {
	afresh
	listen 127.0.0.1:9464
	check inside systemctl restart fibrpcd
	within 20 serves
	within 5 probe ready
	fetch /metrics >"$work/log/metrics"
	check grep -q '^fibrpc_requests_received_total{' "$work/log/metrics"
	check fetch /status.json
	# A port in use does not stop the service.
	check inside systemctl stop fibrpcd
	inside systemd-run --quiet --unit=squatter python3 -m http.server --bind 127.0.0.1 9464
	within 10 fetch /
	journal_mark
	check inside systemctl start fibrpcd
	within 20 serves
	within 5 journal_says 'cannot listen at 127.0.0.1:9464: another process listens there'
	within 5 status_has '; no telemetry: '
	check inside systemctl stop squatter
	within 15 probe ready
	note "$(journal_says 'cannot listen')"
}

step_telemetry_socket_unit() {
	local unit=fibrpcd-telemetry.socket
	afresh
	inside cp "/usr/share/doc/fibrpc/examples/$unit" /etc/systemd/system/
	listen unix:/run/fibrpcd-telemetry.sock
	check inside systemctl daemon-reload
	inside systemd-analyze verify "$unit" >"$work/log/verify" 2>&1
	check [ "$(grep -c fibrpc "$work/log/verify")" = 0 ]
	check inside systemctl stop fibrpcd
	check inside systemctl enable --quiet --now "$unit"
	check inside systemctl start fibrpcd
	within 20 serves
	within 5 probe ready
	check [ "$(inside stat -c '%a %G' /run/fibrpcd-telemetry.sock)" = '660 fibrpcd' ]
	check inside systemctl restart fibrpcd
	within 20 probe ready
	# Whoever asks starts it.
	check inside systemctl stop fibrpcd
	within 30 probe ready
	check inside systemctl disable --quiet --now "$unit"
	check inside rm "/etc/systemd/system/$unit"
	afresh
}

step_telemetry_of_a_hang() {
	afresh
	example telemetry | drop_in telemetry
	drop_in wedge <<<$'[Service]\nExecStart=\nExecStart=/srv/fibrpcd-wedge'
	listen unix:/run/fibrpcd/telemetry.sock
	check inside systemctl restart fibrpcd
	within 20 serves
	within 5 probe live
	check inside kill -USR1 "$(show MainPID)"
	within 20 probe_says live '^fibrpcd: not live: the loop that serves has made no progress for 1[0-9]s$'
	note "not live after $took s"
	check probe_says ready '^fibrpcd: not live: '
	within 40 is NRestarts 1
	within 20 probe ready
	afresh
}
