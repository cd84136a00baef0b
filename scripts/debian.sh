# Trees of Debian's releases, made with debootstrap by the scripts that test on them; sourced by these after
# scripts/lib.sh. All of it needs root.
# shellcheck shell=bash

# need_commands COMMAND=PACKAGE...: installs the Debian packages of the commands that are missing.
need_commands() {
	local pair packages=()
	# A fresh machine may not know its mirror yet.
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt-get update -qq
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
	done
	[ ${#packages[@]} -eq 0 ] && return
	say "installing Debian packages: ${packages[*]}" >&2
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# The mirror that this machine's apt uses.
mirror() {
	local found
	# shellcheck disable=SC2016 # apt's own variables
	found=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | head -n 1)
	[ -n "$found" ] || fail 'apt on this machine knows no Debian mirror'
	say "$found"
}

# bootstrap RELEASE FOLDER LOG PACKAGE...: makes a tree with the packages and what they need.
bootstrap() {
	local release=$1 folder=$2 log=$3 packages from
	shift 3
	packages=$(IFS=,; say "$*")
	from=$(mirror)
	# By the way that apt on this machine takes.
	http_proxy=${http_proxy:-$(apt-config dump --format '%v%n' Acquire::http::Proxy)}
	[ -z "$http_proxy" ] || export http_proxy
	debootstrap --variant=minbase --include="$packages" "$release" "$folder" "$from" >"$log" 2>&1 9>&- ||
		fail "debootstrap of $release: see $log"
}
