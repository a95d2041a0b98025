#!/bin/sh
# Runs a command in which uv knows the registries of pip's configuration, which it does not read
# itself: `sh scripts/with-registry.sh COMMAND...`.
set -eu
python=$(sed -n 's/^executable = //p' .venv/pyvenv.cfg)
settings=$("$python" -m pip config list 2>/dev/null) || settings=
# pip's settings for installing take precedence over its global ones.
setting() {
    echo "$settings" |
        sed -n "s/^:env:\.$1='\(.*\)'$/3 \1/p; s/^install\.$1='\(.*\)'$/2 \1/p; s/^global\.$1='\(.*\)'$/1 \1/p" |
        sort -rn | sed -n '1s/^. //p'
}
index=${UV_DEFAULT_INDEX:-$(setting index-url)}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
more=${UV_INDEX:-$(setting extra-index-url)}
# The first registry that has a package has not always the locked version; digests rule out others.
[ -z "$more" ] || export UV_INDEX="$more" UV_INDEX_STRATEGY=unsafe-best-match
exec "$@"
