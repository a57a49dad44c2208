#!/bin/bash
# Makes the database cluster at the first start, from POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB,
# POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS and /docker-entrypoint-initdb.d, then runs the server.
set -eo pipefail
[[ ${1-} != -* ]] || set -- postgres "$@"

if [[ ${1-} == postgres && $(id -u) == 0 ]]; then
  mkdir -p "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "${BASH_SOURCE[0]}" "$@"
fi

if [[ ${1-} == postgres && ! -s $PGDATA/PG_VERSION ]]; then
  user=${POSTGRES_USER:-postgres}
  db=${POSTGRES_DB:-$user}
  auth=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [[ -z ${POSTGRES_PASSWORD-} && $auth != trust ]]; then
    echo 'Error: set POSTGRES_PASSWORD to a non-empty value, or POSTGRES_HOST_AUTH_METHOD=trust.' >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # several arguments
  initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD-}") --no-sync ${POSTGRES_INITDB_ARGS-}
  printf 'host all all all %s\n' "$auth" >>"$PGDATA/pg_hba.conf"
  # Only on the socket until the scripts are done: who can connect finds a ready database.
  pg_ctl --pgdata="$PGDATA" -o "-c listen_addresses=''" -w start
  export PGHOST=/var/run/postgresql PGUSER=$user PGPASSWORD=${POSTGRES_PASSWORD-}
  [[ $db == postgres ]] || psql -v ON_ERROR_STOP=1 -v db="$db" -d postgres <<<'CREATE DATABASE :"db";'
  for f in /docker-entrypoint-initdb.d/*; do
    case $f in
      *.sh) bash "$f" ;;
      *.sql) psql -v ON_ERROR_STOP=1 -d "$db" -f "$f" ;;
      *.sql.gz) gunzip -c "$f" | psql -v ON_ERROR_STOP=1 -d "$db" ;;
    esac
  done
  pg_ctl --pgdata="$PGDATA" -m fast -w stop
  unset PGHOST PGUSER PGPASSWORD
fi
if [[ ${1-} == postgres ]]; then
  shift
  set -- postgres -c listen_addresses='*' "$@"
fi
exec "$@"
