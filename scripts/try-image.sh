#!/bin/sh
# Tries an image with Docker before it is pushed:
#     sh scripts/try-image.sh IMAGE PORT PATH [OPTION OF docker run ...]
# The image has to start with a read-only root as a user other than root, to answer PATH with 2xx
# within two minutes, and to end with status 0 after SIGTERM, as the cloud asks of it.
set -eu
image=$1 port=$2 path=$3
shift 3

container=$(docker run --detach --read-only --publish "127.0.0.1::$port" "$@" "$image")
trap 'docker logs "$container" >&2; docker rm --force "$container" >/dev/null' EXIT
fail() {
    echo "$image $1" >&2
    exit 1
}

address=$(docker port "$container" "$port/tcp" | head -n 1)
curl --silent --show-error --fail --output /dev/null --max-time 5 \
    --retry 120 --retry-delay 1 --retry-max-time 120 --retry-all-errors "http://$address$path" ||
    fail "does not answer $path"
test "$(docker exec "$container" id -u)" != 0 || fail "runs as root"
docker stop -t 40 "$container" >/dev/null # the long option has two names
status=$(docker inspect --format '{{.State.ExitCode}}' "$container")
test "$status" = 0 || fail "ends with status $status after SIGTERM"
echo "$image starts, answers and stops." >&2
