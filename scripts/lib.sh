# Functions shared by the scripts; sourced by bash from the root folder of the repository.
# shellcheck shell=bash

say() {
	printf '%s\n' "$*"
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# as_root COMMAND...: runs a command as root, with sudo if needed.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "this needs root, and sudo is not installed; run it yourself: $*"
	fi
}

# has THING: whether the contents of the packages of `packages_of THING` are installed.
has() {
	case $1 in
	compiler) command -v cc >/dev/null ;;
	dpkg-dev) command -v dpkg-shlibdeps >/dev/null ;;
	lintian) command -v lintian >/dev/null ;;
	rabbitmq) [ -x "${FIBRPC_RABBITMQ_SBIN:-/usr/lib/rabbitmq/bin}/rabbitmq-server" ] ;;
	librabbitmq) [ -e /usr/include/amqp.h ] || [ -e /usr/include/rabbitmq-c/amqp.h ] ;;
	gmp) [ -n "$(find /usr/include -name gmp.h -print -quit)" ] ;;
	mandoc) command -v mandoc >/dev/null ;;
	curl) command -v curl >/dev/null ;;
	faketime) command -v faketime >/dev/null ;;
	systemd) command -v systemd-analyze >/dev/null ;;
	shells) command -v bash >/dev/null && command -v zsh >/dev/null && command -v fish >/dev/null ;;
	iproute) command -v ip >/dev/null ;;
	nftables) command -v nft >/dev/null ;;
	prometheus) command -v prometheus >/dev/null && command -v promtool >/dev/null ;;
	openssl) command -v openssl >/dev/null ;;
	python) command -v python3 >/dev/null ;;
	jsonnet) command -v jsonnet >/dev/null && command -v jsonnetfmt >/dev/null ;;
	venv) python3 -c "import ensurepip, venv" 2>/dev/null ;;
	pika) /usr/bin/python3 -c 'import pika' 2>/dev/null || python3 -c 'import pika' 2>/dev/null ;;
	esac
}

packages_of() {
	case $1 in
	compiler) say gcc libc6-dev ;;
	dpkg-dev) say dpkg-dev ;;
	lintian) say lintian ;;
	rabbitmq) say rabbitmq-server ;;
	librabbitmq) say librabbitmq-dev ;;
	gmp) say libgmp-dev ;;
	mandoc) say mandoc ;;
	curl) say curl ;;
	faketime) say faketime ;;
	systemd) say systemd ;;
	shells) say bash zsh fish ;;
	iproute) say iproute2 ;;
	nftables) say nftables ;;
	prometheus) say prometheus ;;
	jsonnet) say jsonnet ;;
	venv) say python3 python3-venv ;;
	openssl) say openssl ;;
	python) say python3 ;;
	pika) say python3 python3-pika ;;
	esac
}

# need THING...: installs what is missing, and says so.
need() {
	local thing packages=()
	for thing in "$@"; do
		# shellcheck disable=SC2207 # package names have no blanks
		has "$thing" || packages+=($(packages_of "$thing"))
	done
	[ ${#packages[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || fail "these packages are missing, and there is no apt-get to install them: ${packages[*]}"
	say "installing Debian packages: ${packages[*]}"
	as_root apt-get update -qq
	install_without_services "${packages[@]}"
}

# want THING...: installs what is missing, if possible.
want() {
	(need "$@") || say 'continuing without it'
}

# want_otlp: installs the official messages of OTLP into a Python environment of their own, if possible.
want_otlp() {
	local folder=${CARGO_TARGET_DIR:-target}/otlp
	local requirements=tests/fixtures/otlp-requirements.txt
	cmp -s "$requirements" "$folder/installed" && return
	want venv
	if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input \
		--require-hashes --only-binary :all: --requirement "$requirements"; then
		cp "$requirements" "$folder/installed"
	else
		say 'continuing without opentelemetry-proto'
	fi
}

# install_without_services PACKAGE...: Debian starts a service when its package is installed. Only the programs of
# RabbitMQ and Prometheus are wanted here: a policy that denies every start is put in place meanwhile, unless there is one
# already, and their units are not left enabled for the next boot.
install_without_services() {
	local policy=/usr/sbin/policy-rc.d own_policy='' status=0 package
	if [ ! -e $policy ]; then
		own_policy=$policy
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod +x $policy
	fi
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
	[ -z "$own_policy" ] || as_root rm -f "$own_policy"
	[ $status -eq 0 ] || fail "apt-get could not install: $*"
	command -v systemctl >/dev/null || return 0
	for package in "$@"; do
		case $package in
		rabbitmq-server | prometheus) as_root systemctl disable "$package" >/dev/null 2>&1 || true ;;
		esac
	done
}

# The Rust toolchain is the only thing that the user must install.
need_rust() {
	local wanted found
	PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
	command -v cargo >/dev/null || fail 'Rust is not installed; see https://rustup.rs'
	wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
	found=$(rustc --version | cut -d ' ' -f 2)
	if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
		fail "Rust $wanted or later is needed, this is $found; run rustup update"
	fi
}

# port_is_free PORT: whether nothing listens there on loopback.
port_is_free() {
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_until SECONDS COMMAND...: polls until the command succeeds; suppresses its output.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# The integration tests delete their folders last, when their processes are gone.
nothing_is_left() {
	[ -z "$(left_behind)" ]
}

left_behind() {
	compgen -G "${CARGO_TARGET_DIR:-target}/tmp/*" || true
}

# start_private_broker PORT: starts a broker for a benchmark on loopback. It ends with the script, as do the
# processes in `servers`. Sets `state`, a folder that is deleted at the end, and FIBRPC_BROKER__URL.
start_private_broker() {
	local used
	for used in "$1" $(($1 + 1)) $(($1 + 2)); do
		port_is_free "$used" || fail "port $used is in use; choose another with --port"
	done
	state=$(mktemp -d)
	servers=()
	trap stop_private_broker EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	scripts/private-broker start "$state/broker" "$1"
	export FIBRPC_BROKER__URL="amqp://guest:guest@127.0.0.1:$1/%2f"
}

stop_private_broker() {
	trap '' INT TERM
	[ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
	wait
	[ ! -e "$state/broker/port" ] || scripts/private-broker kill "$state/broker"
	rm -rf "$state"
}

# For benchmarks.

# build_peers FOLDER PROGRAM...: builds these programs of bench/peers in the folder.
build_peers() {
	local folder=$1 program
	shift
	mkdir -p "$folder"
	for program in "$@"; do
		cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$folder/$program" "bench/peers/$program.c" -lrabbitmq
	done
}

# busy PID [THREAD]: processor time of all threads of a process so far, or of those with this name, in nanoseconds.
busy() {
	local task
	for task in "/proc/$1"/task/*; do
		if [ -z "${2:-}" ] || [ "$(cat "$task/comm")" = "$2" ]; then
			cat "$task/schedstat"
		fi
	done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# median COLUMN: the median of a column of standard input.
median() {
	sort -n -k "$1,$1" | awk -v column="$1" '{ value[NR] = $column } END { print value[int((NR + 1) / 2)] }'
}

# median_and_interval LABEL: prints a line with the median of standard input, one number per line, and the 95 % interval of
# the median, whatever the distribution.
median_and_interval() {
	sort -g | awk -v words="$1" '{ value[NR] = $1 } END {
		low = int(NR / 2 - 0.98 * sqrt(NR))
		if (low < 1) low = 1
		printf "%-58s %.3f  (%.3f to %.3f)\n", words, value[int((NR + 1) / 2)], value[low], value[NR + 1 - low]
	}'
}

# ratio LABEL A B: prints a line with A / B.
ratio() {
	awk -v words="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%-58s %.2f\n", words, a / b }'
}

# ratio_of_rounds LABEL A B COLUMN: prints the median, over the rounds, of the ratio of a column in the files A and B, which
# have a line per round. This is robust if the speed of the machine drifts.
ratio_of_rounds() {
	ratio "$1" "$(paste "$2" "$3" | awk -v column="$4" '{ print $column / $(column + NF / 2) }' | median 1)" 1
}

# where_measured: prints a line about the machine.
where_measured() {
	local cores
	cores="$(nproc) cores"
	[ "$cores" != '1 cores' ] || cores='1 core'
	say "$(date +%F), $cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), RabbitMQ on the same machine"
}
