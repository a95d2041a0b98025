#!/bin/sh
# Writes the locked requirements from pyproject.toml's groups: `sh scripts/lock.sh [--upgrade]`.
#
# uv resolves all groups at once, so that what runs in the cloud is what ran on the developer's
# machine. uv.lock names the registry's host and is not kept. The same versions are found again
# without it by the date at the top of requirements.txt: whatever was published later does not
# count. --upgrade moves that date to a week ago, by when most bad releases have been withdrawn.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

if [ "${1:-}" = --upgrade ]; then
    date=$(python -c 'import datetime as d; print(d.datetime.now(d.UTC).date() - d.timedelta(7))')
else
    date=$(sed -n 's/^# As of //p' requirements.txt)
fi
trap 'rm -f uv.lock' EXIT
rm -f uv.lock
uv lock --exclude-newer "$date"

lock() {
    file=$1
    shift
    for group; do set -- "$@" --only-group "$group"; shift; done
    {
        [ "$file" != requirements.txt ] || echo "# As of $date"
        uv export --quiet --frozen --no-header --no-annotate "$@"
    } > "$file"
}

lock requirements.txt service functions infra client transcriber endpoint tools
lock requirements-dev.txt dev whisper pocketsphinx
lock speech/requirements-moonshine.txt moonshine
lock speech/requirements-pocketsphinx.txt pocketsphinx
lock ecs_service/requirements.txt service moonshine
lock gpu_server/requirements.txt transcriber moonshine
lock gpu_server/requirements-whisper.txt transcriber whisper
lock gpu_server/requirements-faster-whisper.txt transcriber whisper cuda
lock gpu_server/requirements-whisperx.txt transcriber whisperx
lock lambdas/requirements.txt functions
lock infra/requirements.txt infra
lock client/requirements.txt client
lock local_cloud/emulator-requirements.txt emulator
