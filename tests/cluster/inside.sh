#!/bin/sh
# What is done inside a node's namespaces and its tree; see node.sh.
#
#   inside.sh run                be the node, until it stops
#   inside.sh eval EXPRESSION    print the value of an Erlang expression; much faster than rabbitmqctl
#   inside.sh TOOL ARGS...       rabbitmqctl and the like
set -eu
home=/var/lib/rabbitmq

# Once more, with the node's environment and nothing else.
if [ -z "${CLUSTER_NODE:-}" ]; then
	# The schedulers must not spin while they wait: three nodes share few cores with all the rest.
	exec env -i CLUSTER_NODE=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=$home ERL_CRASH_DUMP_BYTES=0 \
		RABBITMQ_NODENAME="rabbit@$(hostname)" \
		RABBITMQ_CONF_ENV_FILE=$home/rabbitmq-env.conf \
		RABBITMQ_CONFIG_FILE=$home/rabbitmq RABBITMQ_ADVANCED_CONFIG_FILE=$home/advanced \
		RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins \
		RABBITMQ_MNESIA_BASE=$home/data RABBITMQ_LOG_BASE=$home/log RABBITMQ_PID_FILE=$home/rabbitmq.pid \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +A 8 +sbwt none +sbwtdcpu none +sbwtdio none" \
		sh $home/inside.sh "$@"
fi

case $1 in
run)
	# Started here and not by the node: then it is no daemon of its own, and is killed with this group.
	epmd </dev/null >/dev/null 2>&1 &
	epmd=$!
	/usr/lib/rabbitmq/bin/rabbitmq-server </dev/null >>$home/log/stdout 2>&1 || true
	kill $epmd 2>/dev/null || true
	;;
eval)
	for erl_call in /usr/lib/erlang/lib/erl_interface-*/bin/erl_call; do
		echo "io:format(\"~0p~n\", [begin $2 end])." |
			"$erl_call" -h "c$$" -sname "$RABBITMQ_NODENAME" -c "$(cat $home/.erlang.cookie)" -fetch_stdout -no_result_term -e
	done
	;;
*)
	tool=$1
	shift
	exec "/usr/lib/rabbitmq/bin/$tool" "$@"
	;;
esac
