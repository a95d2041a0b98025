"""What functions and tasks may do in the bucket of recordings, by the keys of its objects.

Everybody may also list it: for want of that right S3 answers 403, and not 404, about an object
that does not exist, and most looks are after such. A condition on the prefix would not do, for the
look at a single object names none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from infra.common.nag import accept
from transcripts.recordings.keys import (
    CAPTIONS,
    CHUNK_FAILURE_KEYS,
    CHUNK_KEYS,
    CHUNK_TRANSCRIPT_KEYS,
    METADATA_KEYS,
    TRANSCRIPT,
    UPLOADS,
)

if TYPE_CHECKING:
    from infra.recordings.flow import RecordingStore

#: As IAM compares keys: `*` stands for any characters, slashes as well.
AUDIO: Final = (CHUNK_KEYS, f"{UPLOADS}*")
#: Transcripts of recordings and what lies beside them: captions, or why there is no transcript.
OUTCOMES: Final = (CHUNK_TRANSCRIPT_KEYS, CHUNK_FAILURE_KEYS, f"transcripts/{UPLOADS}*")
#: What sessions are made of, and what is made of them; chunks' transcripts look the same to IAM.
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
    # Exported by name, for only so is known how cdk-nag is going to call it.
    bucket = Stack.of(store).export_value(store.bucket.bucket_arn)
    shown = Stack.of(role).resolve(bucket)["Fn::ImportValue"]
    role.add_to_principal_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket]))
    for action, keys in (("s3:GetObject", read), ("s3:PutObject", write)):
        if keys:
            role.add_to_principal_policy(
                iam.PolicyStatement(actions=[action], resources=[f"{bucket}/{key}" for key in keys])
            )
    accept(
        role,
        {
            f"AwsSolutions-IAM5[Resource::{shown}/{key}]": "Objects of this kind of all recordings "
            "and sessions, and no others: which ones stands in the event or the job."
            for key in {*read, *write}
        },
    )
