"""The rights of functions and tasks in the bucket of recordings, by object keys.

Every role of the flow may also list the bucket. Without that right S3 answers 403 in place of 404
for an object that does not exist, and most lookups are for such objects. The right cannot be
limited to a prefix, because a lookup of a single object names none. The API of accounts makes no
such lookups: it lists below people's prefixes, and may do so there only. It does not read
recordings.
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
    PEOPLE,
    PERSON_KEYS,
    PERSON_OUTCOME_KEYS,
    TRANSCRIPT,
    UPLOADS,
)

#: Keys as IAM matches them: `*` stands for any characters, slashes included.
AUDIO: Final = (CHUNK_KEYS, f"{UPLOADS}*")
#: Transcripts of recordings and their neighbours: captions, or the reason of a failure.
OUTCOMES: Final = (CHUNK_TRANSCRIPT_KEYS, CHUNK_FAILURE_KEYS, f"transcripts/{UPLOADS}*")
#: What the API does with the recordings of people. Creating and completing an upload and sending
#: its parts are one right, `s3:PutObject`. The addresses that the API signs act with these rights.
UPLOADING: Final = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
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


def allow_people(role: iam.IRole, store: RecordingStore) -> None:
    """Let the API of accounts upload recordings of people, and read what became of them."""
    bucket = Stack.of(store).export_value(store.bucket.bucket_arn)
    shown = Stack.of(role).resolve(bucket)["Fn::ImportValue"]
    for statement in (
        iam.PolicyStatement(actions=list(UPLOADING), resources=[f"{bucket}/{PERSON_KEYS}"]),
        iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[f"{bucket}/{PERSON_OUTCOME_KEYS}"]
        ),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[bucket],
            conditions={"StringLike": {"s3:prefix": [f"{PEOPLE}*", PERSON_OUTCOME_KEYS]}},
        ),
    ):
        role.add_to_principal_policy(statement)
    accept_all(
        role,
        {
            f"AwsSolutions-IAM5[Resource::{shown}/{key}]": "Recordings of people: who signs in "
            "decides whose, and the function signs addresses for that person's prefix alone."
            for key in (PERSON_KEYS, PERSON_OUTCOME_KEYS)
        },
    )
