"""The rights of functions and tasks in the bucket of recordings, by object keys.

Every role may also list the bucket. Without that right S3 answers 403 in place of 404 for an object
that does not exist, and most lookups are for such objects. The right cannot be limited to a prefix,
because a lookup of a single object names none.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from infra.common.nag import accept_all
from infra.recordings.store import RecordingStore
from transcripts.recordings.keys import (
    CAPTIONS,
    CHUNK_FAILURE_KEYS,
    CHUNK_KEYS,
    CHUNK_TRANSCRIPT_KEYS,
    METADATA_KEYS,
    TRANSCRIPT,
    UPLOADS,
)

#: Keys as IAM matches them: `*` stands for any characters, slashes included.
AUDIO: Final = (CHUNK_KEYS, f"{UPLOADS}*")
#: Transcripts of recordings and their neighbours: captions, or the reason of a failure.
OUTCOMES: Final = (CHUNK_TRANSCRIPT_KEYS, CHUNK_FAILURE_KEYS, f"transcripts/{UPLOADS}*")
#: The inputs and outputs of the session combiner. IAM cannot distinguish chunks' transcripts.
SESSION_SOURCES: Final = (METADATA_KEYS, "users/*/transcripts/*")
SESSIONS: Final = tuple(
    f"users/*/transcripts/*{suffix}" for suffix in (TRANSCRIPT, *CAPTIONS, ".ended")
)


def allow(
    role: iam.IRole,
    store: RecordingStore,
    *,
    read: tuple[str, ...],
    write: tuple[str, ...] = (),
) -> None:
    """Let a role list the bucket, read the objects of some keys, and write those of others."""
    # Exported explicitly: this way the name is known by which cdk-nag reports it.
    bucket = Stack.of(store).export_value(store.bucket.bucket_arn)
    shown = Stack.of(role).resolve(bucket)["Fn::ImportValue"]
    role.add_to_principal_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket]))
    for action, keys in (("s3:GetObject", read), ("s3:PutObject", write)):
        if keys:
            role.add_to_principal_policy(
                iam.PolicyStatement(actions=[action], resources=[f"{bucket}/{key}" for key in keys])
            )
    accept_all(
        role,
        {
            f"AwsSolutions-IAM5[Resource::{shown}/{key}]": "Objects of this kind, of all "
            "recordings and sessions: the event or the job names which ones."
            for key in {*read, *write}
        },
    )
