#!/bin/sh
# Installs the Debian packages that tests use, as root; otherwise names those that are missing.
set -eu

missing() {
    for program; do command -v "$program" >/dev/null || printf '%s ' "$program"; done
}
# Where Docker builds the images, nothing else has to.
images='buildah debootstrap'
! docker info >/dev/null 2>&1 || images=

# The names of programs and of packages are the same.
wanted=$(missing chromium flite $images)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Debian packages $wanted..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || true
    apt-get -qq install -y --no-install-recommends $wanted </dev/null >/dev/null || true
    wanted=$(missing $wanted)
fi
[ -z "$wanted" ] || echo "Tests that need ${wanted% } are skipped (apt-get install ${wanted% })."
