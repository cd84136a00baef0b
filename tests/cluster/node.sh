#!/bin/sh
# One node of the cluster of tests/cluster, to be run in a network namespace of its own with names of its own (unshare --uts).
#
#   node.sh NAME TREE DATA
#
# TREE is the root of a Debian system with RabbitMQ, / for this one; it is not written to. All that the node writes goes to DATA,
# which the node sees as /var/lib/rabbitmq, where inside.sh is found.
set -eu
name=$1 tree=$2 data=$3

hostname "$name"
mount --make-rprivate /
root=
if [ "$tree" != / ]; then
	root=$data.root
	mkdir -p "$root" "$data.upper" "$data.work"
	mount -t overlay -o "lowerdir=$tree,upperdir=$data.upper,workdir=$data.work" "$name" "$root"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	cp "$data/hosts" "$root/etc/hosts"
else
	mount --bind "$data/hosts" /etc/hosts
fi
mkdir -p "$root/var/lib/rabbitmq"
mount --bind "$data" "$root/var/lib/rabbitmq"
exec chroot "${root:-/}" sh /var/lib/rabbitmq/inside.sh run
