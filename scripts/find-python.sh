#!/bin/sh
# Prints a Python that is new enough for Cloudscribe, or says in one sentence what is missing.
# PYTHON=/path/to/python in the environment is tried first.

newest=
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    version=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
    newest=${newest:-$version}
done

if [ -n "$newest" ]; then
    echo "Python 3.11 or newer is needed, and this machine has $newest." >&2
else
    echo "Python 3.11 or newer is needed, and none was found." >&2
fi
echo "Install it, or point to it: PYTHON=/path/to/python3.12 make demo" >&2
exit 1
