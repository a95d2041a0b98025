"""The parameters of Amazon Transcribe's streaming API and their valid values.

`make transcribe-values` writes this from @aws-sdk/client-transcribe-streaming
3.1141.0. Do not edit it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from speech.transcribe_api import Operation, Parameter

SDK_VERSION: Final = "3.1141.0"

ContentIdentificationType: TypeAlias = Literal["PII"]
ContentRedactionType: TypeAlias = Literal["PII"]
LanguageCode: TypeAlias = Literal[
    "af-ZA",
    "am-ET",
    "ar-AE",
    "ar-SA",
    "be-BY",
    "bg-BG",
    "bn-IN",
    "bs-BA",
    "ca-ES",
    "ckb-IQ",
    "ckb-IR",
    "cs-CZ",
    "cy-WL",
    "da-DK",
    "de-CH",
    "de-DE",
    "el-GR",
    "en-AB",
    "en-AU",
    "en-GB",
    "en-IE",
    "en-IN",
    "en-NZ",
    "en-US",
    "en-WL",
    "en-ZA",
    "es-ES",
    "es-MX",
    "es-US",
    "et-ET",
    "eu-ES",
    "fa-AF",
    "fa-IR",
    "fi-FI",
    "fr-CA",
    "fr-FR",
    "gl-ES",
    "gu-IN",
    "he-IL",
    "hi-IN",
    "hr-HR",
    "ht-HT",
    "hu-HU",
    "hy-AM",
    "id-ID",
    "is-IS",
    "it-IT",
    "ja-JP",
    "jv-ID",
    "kab-DZ",
    "ka-GE",
    "kk-KZ",
    "km-KH",
    "kn-IN",
    "ko-KR",
    "lg-IN",
    "lt-LT",
    "lv-LV",
    "mk-MK",
    "ml-IN",
    "mr-IN",
    "ms-MY",
    "my-MM",
    "ne-NP",
    "nl-NL",
    "no-NO",
    "or-IN",
    "pa-IN",
    "pl-PL",
    "ps-AF",
    "pt-BR",
    "pt-PT",
    "ro-RO",
    "ru-RU",
    "si-LK",
    "sk-SK",
    "sl-SI",
    "so-SO",
    "sq-AL",
    "sr-RS",
    "su-ID",
    "sv-SE",
    "sw-BI",
    "sw-KE",
    "sw-RW",
    "sw-TZ",
    "sw-UG",
    "ta-IN",
    "te-IN",
    "th-TH",
    "tl-PH",
    "tr-TR",
    "uk-UA",
    "uz-UZ",
    "vi-VN",
    "zh-CN",
    "zh-HK",
    "zh-TW",
    "zu-ZA",
]
MediaEncoding: TypeAlias = Literal["flac", "g711-alaw", "g711-ulaw", "g729", "ogg-opus", "pcm"]
MedicalContentIdentificationType: TypeAlias = Literal["PHI"]
PartialResultsStability: TypeAlias = Literal["high", "low", "medium"]
PiiEntityType: TypeAlias = Literal[
    "ADDRESS",
    "AGE",
    "ALL",
    "BANK_ACCOUNT_NUMBER",
    "BANK_ROUTING",
    "CREDIT_DEBIT_CVV",
    "CREDIT_DEBIT_EXPIRY",
    "CREDIT_DEBIT_NUMBER",
    "DATE_TIME",
    "EMAIL",
    "LICENSE_PLATE",
    "NAME",
    "PASSPORT_NUMBER",
    "PASSWORD",
    "PHONE",
    "PIN",
    "SSN",
    "USERNAME",
    "VEHICLE_IDENTIFICATION_NUMBER",
]
Specialty: TypeAlias = Literal[
    "CARDIOLOGY", "NEUROLOGY", "ONCOLOGY", "PRIMARYCARE", "RADIOLOGY", "UROLOGY"
]
TranscriptFormat: TypeAlias = Literal["spoken", "written"]
Type: TypeAlias = Literal["CONVERSATION", "DICTATION"]
VocabularyFilterMethod: TypeAlias = Literal["mask", "remove", "tag"]
START_STREAM_TRANSCRIPTION: Final = Operation(
    path="/stream-transcription",
    parameters={
        "content-identification-type": Parameter(
            member="ContentIdentificationType", values=get_args(ContentIdentificationType)
        ),
        "content-redaction-type": Parameter(
            member="ContentRedactionType", values=get_args(ContentRedactionType)
        ),
        "enable-channel-identification": Parameter(
            member="EnableChannelIdentification", kind="truth"
        ),
        "enable-partial-results-stabilization": Parameter(
            member="EnablePartialResultsStabilization", kind="truth"
        ),
        "identify-language": Parameter(member="IdentifyLanguage", kind="truth"),
        "identify-multiple-languages": Parameter(member="IdentifyMultipleLanguages", kind="truth"),
        "language-code": Parameter(member="LanguageCode", values=get_args(LanguageCode)),
        "language-model-name": Parameter(
            member="LanguageModelName", pattern=r"[0-9a-zA-Z._-]+", longest=200
        ),
        "language-options": Parameter(
            member="LanguageOptions",
            values=get_args(LanguageCode),
            several=True,
            pattern=r"[a-zA-Z-,]+",
            longest=200,
        ),
        "media-encoding": Parameter(
            member="MediaEncoding", required=True, values=get_args(MediaEncoding)
        ),
        "number-of-channels": Parameter(member="NumberOfChannels", kind="number", least=2, most=2),
        "partial-results-stability": Parameter(
            member="PartialResultsStability", values=get_args(PartialResultsStability)
        ),
        "pii-entity-types": Parameter(
            member="PiiEntityTypes",
            values=get_args(PiiEntityType),
            several=True,
            pattern=r"[A-Z_, ]+",
            longest=300,
        ),
        "preferred-language": Parameter(member="PreferredLanguage", values=get_args(LanguageCode)),
        "sample-rate": Parameter(
            member="MediaSampleRateHertz", kind="number", required=True, least=8000, most=48000
        ),
        "session-id": Parameter(
            member="SessionId",
            pattern=r"[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}",
            longest=36,
        ),
        "session-resume-window": Parameter(
            member="SessionResumeWindow", kind="number", least=1, most=300
        ),
        "show-speaker-label": Parameter(member="ShowSpeakerLabel", kind="truth"),
        "transcript-format": Parameter(
            member="TranscriptFormat", values=get_args(TranscriptFormat)
        ),
        "vocabulary-filter-method": Parameter(
            member="VocabularyFilterMethod", values=get_args(VocabularyFilterMethod)
        ),
        "vocabulary-filter-name": Parameter(
            member="VocabularyFilterName", pattern=r"[0-9a-zA-Z._-]+", longest=200
        ),
        "vocabulary-filter-names": Parameter(
            member="VocabularyFilterNames", several=True, pattern=r"[a-zA-Z0-9,-._]+", longest=3000
        ),
        "vocabulary-name": Parameter(
            member="VocabularyName", pattern=r"[0-9a-zA-Z._-]+", longest=200
        ),
        "vocabulary-names": Parameter(
            member="VocabularyNames", several=True, pattern=r"[a-zA-Z0-9,-._]+", longest=3000
        ),
    },
    result=(
        "Alternatives",
        "ChannelId",
        "EndTime",
        "IsPartial",
        "LanguageCode",
        "LanguageIdentification",
        "ResultId",
        "StartTime",
    ),
    item=(
        "Confidence",
        "Content",
        "EndTime",
        "Speaker",
        "Stable",
        "StartTime",
        "Type",
        "VocabularyFilterMatch",
    ),
    entity=("Category", "Confidence", "Content", "EndTime", "StartTime", "Type"),
)

START_MEDICAL_STREAM_TRANSCRIPTION: Final = Operation(
    path="/medical-stream-transcription",
    parameters={
        "content-identification-type": Parameter(
            member="ContentIdentificationType", values=get_args(MedicalContentIdentificationType)
        ),
        "enable-channel-identification": Parameter(
            member="EnableChannelIdentification", kind="truth"
        ),
        "language-code": Parameter(member="LanguageCode", required=True, values=("en-US",)),
        "media-encoding": Parameter(
            member="MediaEncoding", required=True, values=("flac", "ogg-opus", "pcm")
        ),
        "number-of-channels": Parameter(member="NumberOfChannels", kind="number", least=2, most=2),
        "sample-rate": Parameter(
            member="MediaSampleRateHertz", kind="number", required=True, least=16000, most=48000
        ),
        "session-id": Parameter(
            member="SessionId",
            pattern=r"[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}",
            longest=36,
        ),
        "show-speaker-label": Parameter(member="ShowSpeakerLabel", kind="truth"),
        "specialty": Parameter(member="Specialty", required=True, values=get_args(Specialty)),
        "type": Parameter(member="Type", required=True, values=get_args(Type)),
        "vocabulary-name": Parameter(
            member="VocabularyName", pattern=r"[0-9a-zA-Z._-]+", longest=200
        ),
    },
    result=("Alternatives", "ChannelId", "EndTime", "IsPartial", "ResultId", "StartTime"),
    item=("Confidence", "Content", "EndTime", "Speaker", "StartTime", "Type"),
    entity=("Category", "Confidence", "Content", "EndTime", "StartTime"),
)
