#!/bin/sh
# ping.sh ready|alive: a server that still loads its data is alive, but not ready.
set -eu
if [ -f /run/secrets/redis/password ]; then
  REDISCLI_AUTH=$(cat /run/secrets/redis/password)
  export REDISCLI_AUTH
fi
cli=$(command -v valkey-cli || command -v redis-cli)
answer=$("$cli" -h 127.0.0.1 -p 6379 ping 2>&1) || true
case $1:$answer in
ready:PONG) ;;
alive:PONG | alive:LOADING* | alive:MASTERDOWN*) ;;
*)
  echo "$answer" >&2
  exit 1
  ;;
esac
