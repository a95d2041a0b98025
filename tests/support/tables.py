"""The definitions of the tables, for tests without a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from access import store
from transcripts.conversations import PARTITION_KEY, SORT_KEY

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
