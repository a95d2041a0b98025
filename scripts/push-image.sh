#!/bin/sh
# Pushes an image to a repository of Amazon ECR and prints its name with its digest:
#     sh scripts/push-image.sh LOCAL_IMAGE REPOSITORY TAG    ->    image=REPOSITORY@sha256:...
# A tag of that repository cannot be moved. If the tag exists, as in a repeated run, nothing is pushed
# and the image with that tag is printed: it was tested first.
set -eu
local_image=$1 repository=$2 tag=$3

registry=${repository%%/*} name=${repository#*/}
aws ecr get-login-password | docker login --username AWS --password-stdin "$registry" >&2

digest() {
    aws ecr describe-images --repository-name "$name" --image-ids imageTag="$tag" \
        --query 'imageDetails[0].imageDigest' --output text
}
if ! found=$(digest 2>/dev/null); then
    docker tag "$local_image" "$repository:$tag" >&2
    docker push --quiet "$repository:$tag" >&2
    found=$(digest)
fi
echo "image=$repository@$found"
