#!/bin/sh
# Runs a command beside the programs that others wrote and that a collector is fed from:
#
#   deploy/programs/with-programs.sh go test -tags programs ./deploy/programs
#
# The command finds them in the folder that CUSTODY_TEST_PROGRAMS names: bin has custody itself and the Go programs of
# tool/go.mod, npm has node_modules of package-lock.json, keycloak the distribution of pom.xml, ready to start. What npm and
# Maven fetched stays in the cache, by the file that pins it. The status is the command's; 69 when a program is missing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

fail() {
	echo "with-programs: $*" >&2
	exit 69
}

need() {
	command -v "$1" >/dev/null || fail "$1 is missing: install $2"
}

# keep makes NAME in the folder lead to what fill_NAME put into the cache, once for each content of FILE. A half copy is never
# taken for a whole one.
keep() {
	kept=$cache/$1-$(cksum <"$here/$2" | cut -d ' ' -f 1)
	if [ ! -d "$kept" ]; then
		part=$(mktemp -d "$kept.XXXXXX")
		if ! "fill_$1" "$part" >"$dir/$1.log" 2>&1; then
			rm -rf "$part"
			fail "$1 cannot be prepared: $(grep -m 1 -i error "$dir/$1.log" || tail -n 1 "$dir/$1.log")"
		fi
		if [ -d "$kept" ]; then rm -rf "$part"; else mv "$part" "$kept"; fi # another run may have been quicker
	fi
	ln -s "$kept" "$dir/$1"
}

fill_npm() {
	cp "$here/package.json" "$here/package-lock.json" "$1"
	npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# fill_keycloak also does what Keycloak does before its first start, for a database in memory.
fill_keycloak() {
	cp "$here/pom.xml" "$1" # Maven leaves its marks beside it
	mvn -q -B -C -Dstyle.color=never -f "$1/pom.xml" dependency:unpack-dependencies "-DoutputDirectory=$1/unpacked" &&
		mv "$1"/unpacked/*/* "$1" &&
		"$1/bin/kc.sh" build --db=dev-mem
}

[ $# -gt 0 ] || fail "usage: with-programs.sh COMMAND [ARGUMENT...]"
need npm "Node.js with npm (Debian: apt-get install nodejs npm)"
need mvn "Maven (Debian: apt-get install maven)"
need java "Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"

cache=${CUSTODY_TEST_PROGRAMS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/custody/programs}
mkdir -p "$cache"
dir=$(mktemp -d "${TMPDIR:-/tmp}/custody-programs.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

keep npm package-lock.json &
npm=$!
keep keycloak pom.xml &
keycloak=$!
go build -o "$dir/bin/" "$here/../../cmd/custody" || fail "custody does not build"
go build -C "$here/tool" -o "$dir/bin/" tool || fail "the Go programs do not build"
wait $npm || exit 69
wait $keycloak || exit 69

status=0
CUSTODY_TEST_PROGRAMS=$dir "$@" || status=$?
exit $status
