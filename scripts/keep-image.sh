#!/bin/sh
# Marks the image of an assembly, so that its repository keeps it (infra/delivery/roles.py):
#     sh scripts/keep-image.sh ASSEMBLY REPOSITORY ENVIRONMENT deploying|running
# Call it with `deploying` before a deployment; it fails if the image no longer exists. Call it with
# `running` after a deployment that succeeded; the image that ran until then is kept as `previous`, for
# a return. A failed deployment moves neither mark, because the earlier image still runs.
# If the assembly uses no image of the repository, the script does nothing.
set -eu
assembly=$1 repository=$2 environment=$3 state=$4

name=${repository#*/}
region=${repository#*.dkr.ecr.} region=${region%%.*}
# The folder may hold other environments, too.
set -- "$assembly/cloudscribe-$environment-"*.template.json
if [ ! -e "$1" ]; then
    echo "$assembly holds no templates of $environment." >&2
    exit 1
fi
digest=$(grep --no-filename --only-matching --extended-regexp "/$name@sha256:[0-9a-f]{64}" \
    "$@" | sort -u | sed 's/.*@//')
case $digest in
    "") echo "No image of $repository is deployed."; exit 0 ;;
    *"
"*) echo "More than one image of $repository is deployed; one can be kept." >&2; exit 1 ;;
esac

digest_of() {
    aws ecr describe-images --region "$region" --repository-name "$name" --image-ids "$1" \
        --query 'imageDetails[0].imageDigest' --output text
}
mark() { # TAG DIGEST
    if [ "$(digest_of "imageTag=$1" 2>/dev/null || true)" = "$2" ]; then return; fi
    # All kinds of manifests are accepted: an image with attestations is an index.
    manifest=$(aws ecr batch-get-image --region "$region" --repository-name "$name" \
        --image-ids "imageDigest=$2" --accepted-media-types \
        application/vnd.oci.image.index.v1+json application/vnd.oci.image.manifest.v1+json \
        application/vnd.docker.distribution.manifest.list.v2+json \
        application/vnd.docker.distribution.manifest.v2+json \
        --query 'images[0].imageManifest' --output text)
    aws ecr put-image --region "$region" --repository-name "$name" --image-tag "$1" \
        --image-manifest "$manifest" --image-digest "$2" >/dev/null
    echo "$1 is $2"
}

if ! digest_of "imageDigest=$digest" >/dev/null; then
    echo "$digest is not in $repository any more: it cannot be deployed." >&2
    exit 1
fi
if [ "$state" = running ]; then
    before=$(digest_of "imageTag=kept-$environment-running" 2>/dev/null || true)
    if [ -n "$before" ] && [ "$before" != "$digest" ]; then
        mark "kept-$environment-previous" "$before"
    fi
fi
mark "kept-$environment-$state" "$digest"
