#!/bin/sh
# What is no command is an argument of node: `docker run node:18 app.js`.
set -e
if [ "${1#-}" != "$1" ] || ! command -v "$1" >/dev/null 2>&1; then
  set -- node "$@"
fi
exec "$@"
