#!/bin/sh
# PostgreSQL's image runs this once, on a new database: the two roles.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" \
    --set=owner_password="$OWNER_PASSWORD" --set=service_password="$SERVICE_PASSWORD" \
    --file="${ROLES:-/roles.sql}"
