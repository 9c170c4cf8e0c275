#!/bin/sh
# start.sh CONFIG [FLAG...]: starts the server that the image holds.
set -eu
umask 077
: > /run/redis/auth.conf
if [ -f /run/secrets/redis/password ]; then
  # In a file, not among the arguments: those are in the process list.
  password=$(cat /run/secrets/redis/password)
  case $password in
  *[\"\\]*)
    echo 'the Redis password holds a " or a \, which redis.conf cannot: choose another' >&2
    exit 1
    ;;
  esac
  printf 'requirepass "%s"\nmasterauth "%s"\n' "$password" "$password" > /run/redis/auth.conf
fi
server=$(command -v valkey-server || command -v redis-server)
exec "$server" "$@"
