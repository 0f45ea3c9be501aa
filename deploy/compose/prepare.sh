#!/bin/sh
# Makes what compose.yaml reads beside itself: secrets/ and config/. What is there
# already stays. CUSTODY is how to run custody; without it the image is used.
set -eu
cd "$(dirname "$0")"
tenants="acme globex" # those of the demo
if [ -z "${CUSTODY:-}" ]; then
	CUSTODY="docker run --rm -u $(id -u):$(id -g) -v $PWD:$PWD -w $PWD custody:${VERSION:-dev}"
fi
umask 077
mkdir -p secrets config
chmod 755 config

flags=
for tenant in $tenants; do flags="$flags --tenant $tenant"; done
$CUSTODY schema users $flags --password-dir secrets/clickhouse >secrets/users.xml
[ -e secrets/seal.key ] || $CUSTODY seal keygen localhost/custody --seal-key-file secrets/seal.key | sed 's/^/log /' >config/logs.txt
[ -e secrets/witness.key ] || $CUSTODY seal keygen localhost/witness --cosigner --seal-key-file secrets/witness.key
[ -e secrets/grafana ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >secrets/grafana
[ -e secrets/source-otel ] || $CUSTODY source add otel --tenant acme --type otlp --collector-sources config/sources.yaml >secrets/source-otel
[ -e secrets/demo-keys.json ] || $CUSTODY demo sources --collector-sources config/sources.yaml >secrets/demo-keys.json
[ -e config/apikeys.yaml ] || $CUSTODY apikey add admin --role admin --role analyst --role responder --role auditor --tenant '*' --serve-keys config/apikeys.yaml >secrets/apikey
# Containers run as other users than you: the files are readable, the folder of the secrets is not.
find secrets config -type f -exec chmod 644 {} +
echo "Grafana's user is admin, its password is in secrets/grafana; the API's key is in secrets/apikey." >&2
