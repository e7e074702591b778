# shellcheck shell=bash
# A Postgres of our own: its own data folder, its own port, no socket file, nothing shared with one that may run here.

# The folder of the newest server's programs.
postgres_bin() {
  local newest
  newest=$(find /usr/lib/postgresql /usr/pgsql-* -maxdepth 3 -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1)
  [[ -n "$newest" ]] || newest=$(command -v postgres || true)
  [[ -z "$newest" ]] || dirname "$(readlink -f "$newest")"
}

# Postgres refuses to run as root: the package's user does it then.
as_postgres() {
  if [[ $EUID -eq 0 ]]; then
    (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@")
  else
    "$@"
  fi
}

# The data folder: the wanted one, or one under /var/lib where its user cannot get at the wanted one (a checkout
# under /root, say).
postgres_home() {
  local folder=$1
  mkdir -p "$folder"
  if [[ $EUID -eq 0 ]]; then
    chown postgres: "$folder"
    if ! as_postgres test -w "$folder"; then
      folder=/var/lib/slipway-dev-$(printf '%s' "$folder" | sha256sum | cut -c1-12)
      mkdir -p "$folder"
      chown postgres: "$folder"
    fi
  fi
  chmod 700 "$folder"
  printf '%s\n' "$folder"
}

# postgres_init FOLDER PASSWORD: makes the cluster, unless it is there.
postgres_init() {
  local folder=$1 password=$2 secret
  as_postgres test -e "$folder/PG_VERSION" && return
  secret=$(as_postgres mktemp)
  printf '%s\n' "$password" >"$secret"
  as_postgres "$(postgres_bin)/initdb" --pgdata="$folder" --username=postgres --encoding=UTF8 --locale=C \
    --auth=scram-sha-256 --pwfile="$secret" --no-instructions >"$STATE/initdb.log" 2>&1 || {
    cat "$STATE/initdb.log" >&2
    fail "initdb did not succeed"
  }
  rm -f "$secret"
}

# postgres_start NAME FOLDER PORT [SETTING…]: starts it and waits for it.
postgres_start() {
  local name=$1 folder=$2 port=$3 bin setting command=()
  shift 3
  bin=$(postgres_bin)
  [[ $EUID -ne 0 ]] || command=(setpriv --reuid=postgres --regid=postgres --init-groups)
  command+=("$bin/postgres" -D "$folder")
  for setting in "listen_addresses=127.0.0.1" "port=$port" "unix_socket_directories=" "$@"; do
    command+=(-c "$setting")
  done
  spawn "$name" "${command[@]}"
  wait_until 60 "$name" "$bin/pg_isready" --host=127.0.0.1 --port="$port" --username=postgres
}

# A fast shutdown: open sessions are ended, everything is written.
postgres_stop() { stop "$1" INT 30; }

# postgres_for_tests: an empty one, whose address is exported. It ends with `postgres_stop postgres`.
postgres_for_tests() {
  local folder port password=test
  folder=$(postgres_home "$STATE/postgres")
  # A cluster of an earlier run is of no use.
  find "$folder" -mindepth 1 -delete
  postgres_init "$folder" "$password"
  port=$(free_port 5440)
  # Nothing here outlives the run: nothing has to reach the disk.
  postgres_start postgres "$folder" "$port" fsync=off synchronous_commit=off full_page_writes=off max_connections=300
  export DATABASE_URL=postgres://postgres:$password@127.0.0.1:$port/postgres
  info "Postgres answers on 127.0.0.1:$port"
}
