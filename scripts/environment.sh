#!/bin/sh
# Makes .venv with nothing but the locked uv in it: `sh scripts/environment.sh PYTHON`.
#
# The machine's pip installs it, which saves the three seconds for a pip of the environment's own.
# A Python without pip has to have ensurepip.
set -eu
python=$(command -v "$1") # before .venv/bin has one of that name
if "$python" -c 'import pip'; then
    "$python" -m venv --clear --without-pip .venv
    set -- "$python" -m pip --python .venv/bin/python
else
    "$python" -m venv --clear .venv
    set -- .venv/bin/python -m pip
fi
sed -n '/^uv==/,/[^\\]$/p' requirements.txt > .venv/uv.txt
"$@" install --disable-pip-version-check --only-binary :all: --require-hashes -r .venv/uv.txt
