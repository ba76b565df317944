from __future__ import annotations

import json
import struct

import numpy as np

from tests.vision.boxes import CLASSES, detections
from vision.detections import Detections
from vision.live import LiveFeed, live_message


def test_a_message_is_a_header_with_boxes_from_0_to_1_and_the_picture() -> None:
    message = live_message(
        b"JPEG",
        time=1_790_000_000_123_456,
        width=200,
        height=100,
        detections=detections(("head", 0.5, (20, 10, 40, 30))),
        tracks=np.array([7], np.int32),
        classes=CLASSES,
    )
    (length,) = struct.unpack("<I", message[:4])
    assert json.loads(message[4 : 4 + length]) == {
        "time": 1_790_000_000_123,
        "width": 200,
        "height": 100,
        "boxes": [{"x1": 0.1, "y1": 0.1, "x2": 0.2, "y2": 0.3, "label": "head", "score": 0.5, "track": 7}],
    }
    assert message[4 + length :] == b"JPEG"


def test_no_boxes_is_an_empty_list() -> None:
    message = live_message(
        b"", time=0, width=2, height=2, detections=Detections.empty(), tracks=np.zeros(0, np.int32), classes=CLASSES
    )
    assert json.loads(message[4:])["boxes"] == []


async def test_a_slow_viewer_gets_the_newest_picture_and_the_feed_knows_when_nobody_watches() -> None:
    changes: list[bool] = []
    feed = LiveFeed(lambda: changes.append(feed.watched))
    with feed.watch() as slow, feed.watch() as quick:
        feed.publish(b"1")
        assert await quick() == b"1"
        feed.publish(b"2")
        assert await quick() == b"2"
        assert await slow() == b"2"
    assert changes == [True, True, True, False]
    feed.publish(b"3")
