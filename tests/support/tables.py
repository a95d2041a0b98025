"""The definitions of the tables, for tests without a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access import store
from transcripts.conversations import PARTITION_KEY, SORT_KEY
from transcripts.streams import items
from transcripts.streams.store import DUE_INDEX

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef


def table_definition(table_name: str) -> CreateTableInputTypeDef:
    """Return the arguments of `create_table` for the table of conversations."""
    return {
        **_keys(table_name, PARTITION_KEY, SORT_KEY),
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }


def access_table_definition(table_name: str) -> CreateTableInputTypeDef:
    """Return the arguments of `create_table` for the table `access`."""
    return _keys(table_name, store.PARTITION_KEY, store.SORT_KEY)


def _keys(table_name: str, partition: str, sort: str) -> CreateTableInputTypeDef:
    return {
        "TableName": table_name,
        "KeySchema": [
            {"AttributeName": partition, "KeyType": "HASH"},
            {"AttributeName": sort, "KeyType": "RANGE"},
        ],
        "AttributeDefinitions": [
            {"AttributeName": partition, "AttributeType": "S"},
            {"AttributeName": sort, "AttributeType": "S"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }


def streams_table_definition(table_name: str) -> CreateTableInputTypeDef:
    """Return the arguments of `create_table` for the ledger of streams."""
    return {
        "TableName": table_name,
        "KeySchema": [{"AttributeName": items.STREAM_ID, "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": items.STREAM_ID, "AttributeType": "S"},
            {"AttributeName": items.SHARD, "AttributeType": "N"},
            {"AttributeName": items.DUE_AT, "AttributeType": "N"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": DUE_INDEX,
                "KeySchema": [
                    {"AttributeName": items.SHARD, "KeyType": "HASH"},
                    {"AttributeName": items.DUE_AT, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
