"""The regions in which AWS offers the language services that captions use.

Not every region has them, and Transcribe streams in fewer regions than it transcribes recordings
in. In another region a deployment would succeed, but every stream would fail.

Source: the endpoints of `transcribestreaming`, `translate` and `comprehend` in the data of AWS's
SDK for Python, botocore 1.44.5, read in November 2026. AWS's own pages are those of the services in
the AWS General Reference. A test compares the lists with those of the SDK that is installed.
"""

from __future__ import annotations

from typing import Final

TRANSCRIBE_STREAMING: Final = frozenset({
    "af-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-west-1",
    "eu-west-2",
    "eusc-de-east-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-2",
})  # fmt: skip
#: Where Transcribe Medical streams. Source: the regions that Amazon Chime SDK's API takes for it,
#: in the same data (TranscribeMedicalRegion of chime-sdk-meetings); the endpoints show no more.
TRANSCRIBE_MEDICAL_STREAMING: Final = frozenset({
    "ap-southeast-2",
    "ca-central-1",
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "us-west-2",
})  # fmt: skip
#: Where Translate can have a text's language detected.
COMPREHEND: Final = frozenset({
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "us-east-1",
    "us-east-2",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-2",
})  # fmt: skip
TRANSLATE: Final = frozenset({
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "us-east-1",
    "us-east-2",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
})  # fmt: skip
