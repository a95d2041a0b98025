#!/bin/sh
# Looks for the GPU server's image of these very sources in a repository of Amazon ECR:
#     sh scripts/find-gpu-image.sh REPOSITORY [BUILD_OPTIONS]
#         ->    tag=...    image=REPOSITORY@sha256:...    (image= where there is none)
# The tag is a digest of the files that the image is made of, and of how it is built.
set -eu
repository=$1 options=${2:-}

tag=$({
    git rev-parse HEAD:gpu_server HEAD:foundation HEAD:speech HEAD:transcripts HEAD:LICENSE \
        HEAD:NOTICE HEAD:.dockerignore
    echo "$options"
} | sha256sum | cut -c 1-40)
echo "tag=$tag"
if digest=$(aws ecr describe-images --repository-name "${repository#*/}" --image-ids imageTag="$tag" \
    --query 'imageDetails[0].imageDigest' --output text 2>/dev/null); then
    echo "image=$repository@$digest"
else
    echo "image="
fi
