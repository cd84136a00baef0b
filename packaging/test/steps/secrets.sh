# Passwords, certificates, names.
# shellcheck shell=bash

# A broker user whose password must not appear anywhere.
tester() {
	inside rabbitmqctl -q list_users | grep ^tester || {
		inside rabbitmqctl -q add_user tester "$canary"
		inside rabbitmqctl -q set_permissions tester '.*' '.*' '.*'
	}
}

connected_as_tester() {
	inside rabbitmqctl -q list_connections user | grep -x tester
}

password_file() { # PASSWORD OWNER
	inside mkdir -p /etc/fibrpc
	inside sh -c 'umask 077; cat >/etc/fibrpc/broker-password; chown "$1" /etc/fibrpc/broker-password' - "$2" <<<"$1"
}

# The number of the next attempt, and the seconds until then, from STATUS.
next_attempt() {
	show StatusText | sed -n 's/.*, try \([0-9]*\) in \([0-9]*\)s: .*/\1 \2/p'
}

# It counts down: it is never older than 2 s.
status_is_fresh() {
	local first second began passed
	began=$(date +%s%N)
	first=$(next_attempt)
	sleep 4
	second=$(next_attempt)
	passed=$((($(date +%s%N) - began) / 1000000000))
	say "first: $first, after $passed s: $second"
	check [ "${first% *}" = "${second% *}" ]
	check [ $((${second#* } + passed - ${first#* })) -ge -2 ]
	check [ $((${second#* } + passed - ${first#* })) -le 2 ]
}

step_wrong_password() {
	afresh
	tester
	password_file "wrong$canary" fibrpcd
	configure 20-broker <<-'END'
		[broker]
		url = "amqp://tester@localhost"
		password_file = "/etc/fibrpc/broker-password"
	END
	journal_mark
	inside systemctl restart --no-block fibrpcd
	within 10 status_has 'waiting for broker localhost:5672.*(refused|password|credentials)'
	note "$(show StatusText)"
	within 10 journal_says '(refused|password|credentials)'
	# Only an operator can help: attempts become rare.
	within 90 status_has 'in [1-3][0-9]s[^a-z]'
	status_is_fresh
	within 20 is ActiveState active
	# Nothing restarts.
	journal_mark
	stays 20 is NRestarts 0
	local lines
	lines=$(journal -o cat | wc -l)
	note "$lines lines in 20 s"
	check [ "$lines" -le 20 ]
	# Fixed without a restart; but everyone can read it, which causes a warning.
	password_file "$canary" fibrpcd
	inside chmod 0644 /etc/fibrpc/broker-password
	within 35 connected_as_tester
	within 10 journal_says 'chmod 0600 /etc/fibrpc/broker-password'
}

step_password_by_credential() {
	afresh
	tester
	password_file "$canary" root
	configure 20-broker <<<$'[broker]\nurl = "amqp://tester@localhost"'
	drop_in credentials <"$work/root/usr/share/doc/fibrpc/examples/credentials.conf"
	check inside systemctl restart fibrpcd
	within 20 connected_as_tester
	check serves
	# The check at a reload does not see the credential.
	configure 30-test <<<$'[server]\nprefetch = 7'
	journal_mark
	check inside systemctl reload fibrpcd
	within 10 prefetch_is 7
	journal -o cat
	# The service sees it as it was at the start, and says so if it is refused.
	password_file "other$canary" root
	inside rabbitmqctl -q change_password tester "other$canary"
	inside rabbitmqctl -q close_all_connections test
	within 10 journal_says 'check the systemd credential broker-password.*restart it after a change'
	check inside systemctl restart fibrpcd
	within 20 connected_as_tester
	check serves
	inside rabbitmqctl -q change_password tester "$canary"
}

step_password_by_encrypted_credential() {
	afresh
	tester
	password_file "$canary" root
	inside sh -ec '
		systemd-creds setup >/dev/null
		systemd-creds encrypt --with-key=host --name=broker-password \
			/etc/fibrpc/broker-password /etc/fibrpc/broker-password.cred
		rm /etc/fibrpc/broker-password'
	configure 20-broker <<<$'[broker]\nurl = "amqp://tester@localhost"'
	# The same example with its other line.
	sed 's/^LoadCredential=/#&/; s/^#\(LoadCredentialEncrypted=\)/\1/' \
		"$work/root/usr/share/doc/fibrpc/examples/credentials.conf" | drop_in credentials
	check inside systemctl restart fibrpcd
	within 20 connected_as_tester
	check serves
}

# TLS on the broker, with a private authority.
tls_on_the_broker() {
	inside sh -ec '
		mkdir -p /etc/rabbitmq/tls && cd /etc/rabbitmq/tls
		openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=test authority" \
			-addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
		openssl req -newkey rsa:2048 -nodes -subj /CN=mq.fibrpc.test -keyout server.key -out server.csr
		printf "subjectAltName=DNS:mq.fibrpc.test\n" >extensions
		openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
			-extfile extensions -out server.pem
		chmod 0644 server.key
		cat >>/etc/rabbitmq/rabbitmq.conf' 2>&1 <<-'END'
		listeners.tcp.default = 5672
		listeners.ssl.default = 5671
		ssl_options.cacertfile = /etc/rabbitmq/tls/ca.pem
		ssl_options.certfile = /etc/rabbitmq/tls/server.pem
		ssl_options.keyfile = /etc/rabbitmq/tls/server.key
		ssl_options.verify = verify_none
	END
	check inside systemctl restart rabbitmq-server
}

step_tls_and_dns_under_the_filter() {
	afresh
	tester
	tls_on_the_broker
	inside systemd-run --quiet --unit=test-dns python3 /srv/dns.py || check inside systemctl is-active test-dns
	inside tee /etc/resolv.conf <<<'nameserver 127.0.0.1'
	password_file "$canary" fibrpcd
	inside cp /etc/rabbitmq/tls/ca.pem /etc/fibrpc/ca.pem
	configure 20-broker <<-'END'
		[broker]
		url = "amqps://tester@mq.fibrpc.test"
		password_file = "/etc/fibrpc/broker-password"
		tls.ca_file = "/etc/fibrpc/ca.pem"
	END
	# Instead of an error that the daemon might handle, the filter kills it.
	drop_in filter <<<$'[Service]\nSystemCallErrorNumber='
	check inside systemctl restart fibrpcd
	within 20 status_has '^consuming rpc_queue on mq.fibrpc.test:5671'
	local pid
	pid=$(show MainPID)
	check inside rabbitmqctl -q list_connections user ssl
	check serves
	# The client in the same way.
	check [ "$(inside fibrpc 30)" = 832040 ]
	configure 30-heartbeat <<<$'[broker]\nheartbeat = "30s"'
	journal_mark
	check inside systemctl reload fibrpcd
	within 20 journal_says 'broker.heartbeat'
	within 20 status_has '^consuming rpc_queue on mq.fibrpc.test:5671'
	check serves
	check is MainPID "$pid"
	# Check that it is active: the priority of a large computation cannot be lowered.
	ask 1000000 >/dev/null || true
	within 10 is NRestarts 1
}

# Runs after all steps that use the password.
step_no_secret_anywhere() {
	afresh
	tester
	configure 20-broker <<<"[broker]
url = \"amqp://tester:$canary@localhost\""
	check inside systemctl restart fibrpcd
	within 20 connected_as_tester
	{
		inside fibrpcd --check
		inside fibrpc -vvv 30
		inside fibrpc status
		inside fibrpc -vvv --queue nobody-here 30
		inside fibrpc config show
		# Errors that involve it.
		inside env FIBRPC_BROKER__URL="amqp://tester:x$canary@localhost" fibrpc -vvv 30
		inside env FIBRPC_BROKER__URL="amqp://tester:$canary#@localhost" fibrpc 30
		inside env FIBRPC_BROKER__URL="amqp://tester:$canary@localhost:0" fibrpcd --check
		configure 30-broken <<<"[broker]
url = \"amqp://tester:$canary\"@localhost\""
		inside fibrpcd --check
		inside systemctl reload fibrpcd
		inside systemctl kill --kill-who=main -s HUP fibrpcd
	} >"$work/log/said" 2>&1 || true
	cat "$work/log/said"
	within 5 status_has 'reload refused'
	# Except the record of `su` in rabbitmqctl, which got the password above.
	inside journalctl -b -o json --all | grep -vE '"SYSLOG_IDENTIFIER" *: *"su"' >"$work/log/journal.json"
	inside systemctl show fibrpcd >"$work/log/properties"
	inside cat "/proc/$(show MainPID)/cmdline" "/proc/$(show MainPID)/environ" >"$work/log/process"
	local place
	for place in said journal.json properties process; do
		check [ -s "$work/log/$place" ]
		check [ "$(grep -c "$canary" "$work/log/$place")" = 0 ]
	done
	# Check that it would have been found.
	check grep -q "$canary" "$work/root/etc/fibrpc.toml.d/20-broker.toml"
}
