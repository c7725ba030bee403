#!/usr/bin/env bash
# The servers of the system, for the slow tests that run on them too: Debian's PostgreSQL and Redis;
# its browser, for the tests of examples/web; its Node, for those of examples/node; its Prometheus;
# nginx and HAProxy, for those of updates; faketime, for clocks that differ; SoftHSM, for keys in
# hardware; Apache's mod_auth_openidc, a client of the code flow.
# Installs only what is missing, and leaves no service running that it brought.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v pgbouncer >/dev/null || command -v /usr/sbin/pgbouncer >/dev/null || missing+=(pgbouncer)
command -v prometheus >/dev/null || missing+=(prometheus)
command -v nginx >/dev/null || command -v /usr/sbin/nginx >/dev/null || missing+=(nginx)
command -v haproxy >/dev/null || command -v /usr/sbin/haproxy >/dev/null || missing+=(haproxy)
command -v faketime >/dev/null || missing+=(faketime)
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
{ [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] && [ -x /usr/sbin/apache2 ]; } ||
    missing+=(libapache2-mod-auth-openidc)
{ command -v node && command -v npm; } >/dev/null || missing+=(nodejs npm)
# Ubuntu has it as a snap alone.
if grep -qsx 'ID=debian' /etc/os-release && ! command -v chromium >/dev/null; then missing+=(chromium); fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    echo "not installed, tests that need them are skipped: ${missing[*]} (done only as root on Debian)"
    exit 0
fi

echo "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -y -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log"
    exit 1
fi
for package in "${missing[@]}"; do
    invoke-rc.d "$package" stop >/dev/null 2>&1 || true
done
