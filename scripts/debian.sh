# Debian trees made with debootstrap, for scripts that test on other releases; sourced by these after scripts/lib.sh.
# Everything here needs root.
# shellcheck shell=bash

# need_commands COMMAND=PACKAGE...: installs the packages of missing commands.
need_commands() {
	local pair packages=()
	# A new machine may have no package lists yet.
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get update -qq
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
	done
	[ ${#packages[@]} -eq 0 ] && return
	say "installing Debian packages: ${packages[*]}" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# mirror: prints the mirror that apt on this machine uses.
mirror() {
	local found
	# shellcheck disable=SC2016 # apt's own variables
	found=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | head -n 1)
	[ -n "$found" ] || fail 'apt on this machine has no Debian mirror; add one to /etc/apt/sources.list'
	say "$found"
}

# bootstrap RELEASE FOLDER LOG PACKAGE...: makes a tree with the packages and their dependencies.
bootstrap() {
	local release=$1 folder=$2 log=$3 packages from
	shift 3
	packages=$(IFS=,; say "$*")
	from=$(mirror)
	# Through the same proxy as apt on this machine.
	http_proxy=${http_proxy:-$(apt-config dump --format '%v%n' Acquire::http::Proxy)}
	[ -z "$http_proxy" ] || export http_proxy
	debootstrap --variant=minbase --include="$packages" "$release" "$folder" "$from" >"$log" 2>&1 9>&- ||
		fail "debootstrap of $release failed: see $log"
}
