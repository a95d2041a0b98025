"""From the queue through the real function into the table."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.support.cloud import Cloud
from tests.support.eventually import eventually
from tests.support.utterances import BEGIN, conversation, utterance
from transcripts.models import Utterance

pytestmark = pytest.mark.integration


def send(cloud: Cloud, *bodies: str) -> None:
    answer = cloud.client("sqs").send_message_batch(
        QueueUrl=cloud.resources.queue_url,
        Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)],
    )
    assert len(answer["Successful"]) == len(bodies)


def body(final: Utterance) -> str:
    return final.model_dump_json(by_alias=True)


async def test_an_utterance_on_the_queue_ends_in_the_table(cloud: Cloud) -> None:
    final = utterance(conversation())

    send(cloud, body(final))

    stored = await eventually(
        lambda: cloud.table.since(final.conversation_id, BEGIN), "the utterance is stored"
    )
    assert stored == [final]


async def test_an_utterance_that_is_sent_three_times_is_stored_once(cloud: Cloud) -> None:
    talk = conversation()
    first, last = utterance(talk), utterance(talk, timestamp=BEGIN + timedelta(seconds=9))

    send(cloud, body(first), body(first))
    await eventually(lambda: cloud.table.since(talk, BEGIN), "the first is stored")
    send(cloud, body(first), body(last))

    await eventually(lambda: last in cloud.table.since(talk, BEGIN), "the last is stored")
    assert cloud.table.since(talk, BEGIN) == [first, last]


async def test_a_poison_message_ends_in_the_dead_letter_queue_and_its_neighbours_are_stored(
    cloud: Cloud,
) -> None:
    talk = conversation()
    neighbours = [
        utterance(talk, timestamp=BEGIN + timedelta(seconds=second)) for second in range(8)
    ]
    poison = f'{{"conversationId": "{talk}"}}'
    sqs = cloud.client("sqs")

    send(cloud, *map(body, neighbours[:4]), poison, *map(body, neighbours[4:]))

    await eventually(
        lambda: cloud.table.since(talk, BEGIN) == neighbours, "the neighbours are stored"
    )
    dead: list[str] = []
    async with asyncio.timeout(60):
        while poison not in dead:
            answer = await asyncio.to_thread(
                sqs.receive_message,
                QueueUrl=cloud.resources.dead_letter_queue_url,
                WaitTimeSeconds=5,
            )
            dead += [message["Body"] for message in answer.get("Messages", [])]
    assert not any(body(each) in dead for each in neighbours)
