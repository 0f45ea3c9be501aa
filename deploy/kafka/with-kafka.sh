#!/bin/sh
# Runs a command beside a real Apache Kafka in KRaft mode, of the version in pom.xml:
#
#   deploy/kafka/with-kafka.sh go test ./processor/...
#
# The command finds the broker's address in CUSTODY_TEST_KAFKA, and its process id in the file that
# CUSTODY_TEST_KAFKA_PID_FILE names: a broker that is killed is started again on the same port and data, so that tests may
# kill it. CUSTODY_TEST_KAFKA_SASL is its port with TLS and SASL (PLAIN, SCRAM), CUSTODY_TEST_KAFKA_MUTUAL the one that wants a
# certificate; what both sides are recognised by is in CUSTODY_TEST_KAFKA_FILES, for the user "custody".
# The status is the command's; 69 when there is no broker. Nothing is left behind but the broker's jars in the cache.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tries=5

fail() {
	echo "with-kafka: $*" >&2
	exit 69
}

# jars prints the folder of the broker's jars. Maven fills it once for each pom.xml; a half copy is never taken for a whole one.
jars() {
	cache=${CUSTODY_KAFKA_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/custody/kafka}/$(cksum <"$here/pom.xml" | cut -d ' ' -f 1)
	if [ ! -d "$cache" ]; then
		command -v mvn >/dev/null || fail "mvn is missing: install Maven (Debian: apt-get install maven), which fetches the broker"
		mkdir -p "$(dirname "$cache")"
		part=$(mktemp -d "$cache.XXXXXX")
		if ! mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$part" >"$dir/maven.log" 2>&1; then
			rm -rf "$part"
			fail "mvn could not fetch the broker: $(grep -m 1 ERROR "$dir/maven.log" || tail -n 1 "$dir/maven.log")"
		fi
		if [ -d "$cache" ]; then rm -rf "$part"; else mv "$part" "$cache"; fi # another run may have been quicker
	fi
	echo "$cache"
}

# configure writes the configuration for four ports that are likely free and prints the first. They lie below those that
# systems give to clients.
configure() {
	port=$((10000 + $(od -An -N2 -tu2 /dev/urandom) % 22000))
	open=PLAINTEXT://127.0.0.1:$port,SASL://127.0.0.1:$((port + 2)),MUTUAL://127.0.0.1:$((port + 3))
	cat "$here/server.properties" - >"$dir/server.properties" <<-END
		listeners=$open,CONTROLLER://127.0.0.1:$((port + 1))
		advertised.listeners=$open
		controller.quorum.voters=1@127.0.0.1:$((port + 1))
		log.dirs=$dir/data
		ssl.keystore.location=$files/broker.pem
		ssl.truststore.location=$files/authority.pem
		listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_custody="$(cat "$files/password")";
	END
	echo "$port"
}

kafka() {
	class=$1
	shift
	exec java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" \
		"-Dlog4j2.configurationFile=$here/log4j2.xml" "$class" "$@"
}

# serve runs the broker, again and again until the folder says stop.
serve() {
	trap '' INT # a Ctrl-C ends the command first
	while [ ! -e "$dir/stop" ]; do
		: >"$dir/broker.log"
		kafka kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 &
		echo $! >"$dir/pid.new"
		mv "$dir/pid.new" "$dir/pid"
		wait $! || true
		[ -e "$dir/answered" ] || return 0 # it never ran: the ports, or something to report
	done
}

# await returns when the broker answers, or fails when it has ended.
await() {
	waited=0
	while ! grep -q 'Kafka Server started' "$dir/broker.log" 2>/dev/null; do
		kill -0 "$server" 2>/dev/null || return 1
		[ $waited -lt 600 ] || return 1
		waited=$((waited + 1))
		sleep 0.1
	done
	: >"$dir/answered"
}

# stop ends the broker by its pid, in order and then by force.
stop() {
	: >"$dir/stop"
	[ -n "$server" ] || return 0
	pid=$(cat "$dir/pid" 2>/dev/null || true)
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	waited=0
	while kill -0 "$server" 2>/dev/null; do
		if [ $waited -eq 100 ] && [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null || true; fi
		waited=$((waited + 1))
		sleep 0.1
	done
	wait "$server" 2>/dev/null || true
	server=
}

[ $# -gt 0 ] || fail "usage: with-kafka.sh COMMAND [ARGUMENT...]"
command -v java >/dev/null || fail "java is missing: install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)"

server=
dir=$(mktemp -d "${TMPDIR:-/tmp}/custody-kafka.XXXXXX")
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

jars=$(jars)
files=$dir/files
mkdir "$files"
(cd "$here" && go run . "$files") || fail "the certificates cannot be made"
password=$(cat "$files/password")
try=1
while :; do
	port=$(configure)
	rm -rf "$dir/data"
	(kafka kafka.tools.StorageTool format -t Y3VzdG9keS10ZXN0LWthZg -c "$dir/server.properties" \
		--add-scram "SCRAM-SHA-256=[name=custody,password=$password]" --add-scram "SCRAM-SHA-512=[name=custody,password=$password]") >"$dir/format.log" 2>&1 ||
		fail "the storage cannot be formatted: $(tail -n 1 "$dir/format.log")"
	serve 2>/dev/null & # where the shell reports a kill
	server=$!
	await && break
	stop
	rm -f "$dir/stop"
	grep -q 'Address already in use' "$dir/broker.log" && [ $try -lt $tries ] ||
		fail "the broker does not start: $(grep -m 1 -E 'ERROR|Exception' "$dir/broker.log" || tail -n 1 "$dir/broker.log")"
	try=$((try + 1))
done

status=0
CUSTODY_TEST_KAFKA=127.0.0.1:$port CUSTODY_TEST_KAFKA_PID_FILE=$dir/pid CUSTODY_TEST_KAFKA_SASL=127.0.0.1:$((port + 2)) \
	CUSTODY_TEST_KAFKA_MUTUAL=127.0.0.1:$((port + 3)) CUSTODY_TEST_KAFKA_FILES=$files "$@" || status=$?
exit $status
