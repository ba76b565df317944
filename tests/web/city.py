"""A city for the page to show: four sites with machines, cameras, alerts in every state, history and pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import av
import cv2
import numpy as np
from psycopg.types.json import Jsonb

from alerts.rules import builtin_packs, load
from alerts.rules.versions import put_in_force
from core.clock import SystemClock
from core.evidence import EvidenceStore, record
from sensors.profiles import load_profiles
from tests.api.world import World

_SITES = {
    "riverside": ("滨江一号地块", "Riverside lot 1", 30.208, 120.212, "主体结构"),
    "metro": ("地铁九号线枢纽", "Metro line 9 hub", 30.292, 120.158, "基坑"),
    "school": ("实验学校扩建", "School extension", 30.246, 120.021, "装饰装修"),
    "depot": ("物流园二期", "Logistics park 2", 30.421, 120.301, "基础"),
}
_RULES = {
    "pm10-high": ("PM10 超标", "PM10 over the limit", "threshold"),
    "crane-moment": ("塔机力矩超载", "Crane moment over the limit", "threshold"),
    "no-hard-hat": ("未佩戴安全帽", "No hard hat", "vision"),
    "intrusion": ("人员进入禁入区域", "Person in a forbidden zone", "vision"),
    "device-silent": ("设备离线", "Device silent", "offline"),
    "laeq-night": ("夜间噪声超标", "Night noise over the limit", "window"),
}
CRANE = {
    "load": 3.42, "load_ratio": 57.0, "moment_ratio": 71.5, "height": 34.2, "radius": 38.5, "slewing": 127.0,
    "tilt_x": 0.12, "tilt_y": -0.08, "wind_speed": 5.4, "status": 1,
}  # fmt: skip
HOIST = {
    "load": 0.85, "load_ratio": 42.0, "persons": 7, "floor": 12, "speed": 0.6, "height": 36.4, "wind_speed": 4.8,
    "tilt": 0.1, "door": 0,
}  # fmt: skip
DUST = {
    "pm10": 118.0, "pm2_5": 48.0, "tsp": 196.0, "laeq": 63.2, "temperature": 24.6, "humidity": 58.0, "pressure": 1009.0,
    "wind_speed": 2.7, "wind_direction": 135.0,
}  # fmt: skip
SPRAYER = {"state": 1, "mode": 0, "water_pressure": 2390.0, "flow": 61.5}


def picture(text: str, *, size: tuple[int, int] = (640, 360), tone: int = 90) -> bytes:
    """A JPEG that can be told from others."""
    width, height = size
    shade = np.linspace(tone, tone + 80, height)[:, None] * np.ones((1, width))
    image = np.dstack([shade * 0.9, shade, shade * 1.05]).clip(0, 255).astype(np.uint8)
    cv2.rectangle(image, (width // 3, height // 4), (width // 2, height - 20), (60, 90, 150), -1)
    cv2.circle(image, (width * 5 // 12, height // 4), height // 10, (150, 180, 220), -1)
    cv2.putText(image, text, (12, height - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    done, data = cv2.imencode(".jpg", image)
    assert done
    return bytes(data)


def clip() -> bytes:
    """Two seconds of video as a browser plays it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(10):
            image = np.full((180, 320, 3), 40 + 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


async def furnish_city(world: World, store: EvidenceStore) -> World:
    """All rows; ids by code are in `world.ids`, the demo's people log in with tests.api.world.PASSWORD."""
    for rule, (name, name_en, kind) in _RULES.items():
        definition = {"id": rule, "name": name, "name_en": name_en, "kind": kind}
        await world.connection.execute(
            "INSERT INTO rule_version VALUES (%s, 1, %s, %s, %s)", [rule, Jsonb(definition), "0" * 64, world.now]
        )
    await put_in_force(world.connection, load(builtin_packs(), load_profiles(None)).enabled, clock=SystemClock())
    for code, (name, name_en, latitude, longitude, stage) in _SITES.items():
        place = {"latitude": latitude, "longitude": longitude, "stage": stage, "address": f"杭州市{name}"}
        await world.site(code, name=name, name_en=name_en, **place)
        if code == "depot":
            continue
        await world.device(f"dust-{code}", code, name="1 号扬尘噪声站", name_en="Dust station 1")
        await world.device(f"crane-{code}", code, "tower_crane", name="1 号塔机", name_en="Tower crane 1")
        await world.camera(f"gate-{code}", code, name="大门", name_en="Gate", zone="出入口")
    await world.device("hoist-riverside", "riverside", "hoist", name="3 号施工升降机", name_en="Hoist 3")
    await world.device("spray-riverside", "riverside", "sprayer", name="1 号雾炮", name_en="Fog cannon 1")
    await world.camera("deck-riverside", "riverside", name="作业面", name_en="Working deck")
    unit = await world._insert("unit", "builder", code="builder", name="中建示范工程", name_en="Example Construction")
    await _row(world, "site_unit", site_id=world.ids["riverside"], unit_id=unit, role="contractor")

    await world.person("operator", "operator", sites=None, name="李操作", name_en="Li Operator")
    await world.person("officer", "officer", sites=["riverside"], name="王安全", name_en="Wang Officer")

    await world.person("inspector", "inspector", sites=None, name="陈监督", name_en="Chen Inspector")

    for device in (code for code in world.ids if code.startswith(("dust-", "crane-", "hoist-", "spray-"))):
        await world.seen(device, ago_s=1, connected=True)
    await world.seen("dust-school", ago_s=900, connected=False)
    await _history(world, "dust-riverside", "reading_dust", DUST, _dusty)
    await _history(world, "dust-metro", "reading_dust", DUST, lambda _minute: {})
    await _history(world, "crane-riverside", "reading_tower_crane", CRANE, _lifting)
    await _history(world, "hoist-riverside", "reading_hoist", HOIST, lambda _minute: {})
    await _history(world, "spray-riverside", "reading_sprayer", SPRAYER, lambda _minute: {})
    for camera in ("gate-riverside", "deck-riverside"):
        await world.camera_state(camera, "online")
    await world.camera_state("gate-school", "unreachable", reason="refused")
    await world.camera_state("gate-metro", "online", reason="moved")
    # What is on line here stays so: nobody reports again, and half a minute of silence would count as an outage.
    await world.connection.execute(
        "UPDATE device_seen SET last_seen_at = last_seen_at + interval '1 hour' WHERE connected"
    )
    await world.connection.execute(
        "UPDATE camera_state SET updated_at = updated_at + interval '1 hour' WHERE state = 'online'"
    )
    await _alerts(world, store)
    await _downlink(world)
    return world


def _lifting(minute: float) -> dict[str, float]:
    return {"moment_ratio": 60 + 25 * math.sin(minute / 9)}


def _dusty(minute: float) -> dict[str, float]:
    return {"pm10": 118 + 25 * math.sin(minute / 14) + 8 * math.sin(minute * 1.7) + (95 if minute < 9 else 0)}


async def _history(
    world: World, device: str, table: str, values: dict[str, Any], vary: Callable[[float], dict[str, float]]
) -> None:
    """Two hours of readings each 10 s, with ten minutes missing an hour ago; the newest is a second old."""
    channels = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    rows = []
    for step in range(720):
        if 300 <= step < 360:
            continue
        at = world.now - timedelta(seconds=1 + 10 * step)
        rows.append({"id": world.ids[device], "at": at, **values, **vary(step / 6)})
    async with world.connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO {table} (device_id, time, flags, {channels}) VALUES (%(id)s, %(at)s, 0, {marks})".encode(),
            rows,
        )


async def _alerts(world: World, store: EvidenceStore) -> None:
    files = {
        "frame": store.put(picture("frame"), "image/jpeg"),
        "crop": store.put(picture("crop", size=(200, 200), tone=120), "image/jpeg"),
        "frame_shown": store.put(picture("frame, blurred"), "image/jpeg"),
        "crop_shown": store.put(picture("blurred", size=(200, 200), tone=120), "image/jpeg"),
        "clip": store.put(clip(), "video/mp4"),
    }
    for one in files.values():
        await record(world.connection, one)
    await world.episode("hat", camera="gate-metro", ago_s=95, files={role: one.sha256 for role, one in files.items()})
    dust = {"metric": "pm10", "unit": "µg/m³", "limit_value": 150.0, "first_value": 163.5, "last_value": 201.0}
    await world.alert("dust", device="dust-riverside", ago_s=480, rule="pm10-high", max_value=218.4, **dust)
    await world.alert(
        "hat",
        camera="gate-metro",
        ago_s=95,
        rule="no-hard-hat",
        severity="critical",
        metric="no_helmet",
        episode_id=world.ids["episode hat"],
        frame_sha256=files["frame"].sha256,
        crop_sha256=files["crop"].sha256,
    )
    await world.alert(
        "silent", device="dust-school", ago_s=840, rule="device-silent", rule_kind="offline", severity="warning",
        metric="", limit_value=None, first_value=None,
    )  # fmt: skip
    ended = world.now - timedelta(minutes=44)
    await world.alert(
        "moment", device="crane-riverside", ago_s=2900, rule="crane-moment", severity="critical", metric="moment_ratio",
        unit="%", limit_value=100.0, first_value=101.0, last_value=97.0, max_value=106.3, ended_at=ended,
        cleared_at=ended, cleared_by="auto", acknowledged_at=ended, acknowledged_by="code-officer",
    )  # fmt: skip
    for number in range(60):
        at = world.now - timedelta(hours=3, minutes=7 * number)
        await world.alert(
            f"old-{number}", device="dust-metro", ago_s=10800 + 420 * number, rule="laeq-night", rule_kind="window",
            severity="info" if number % 3 else "warning", metric="laeq", unit="dB(A)", limit_value=55.0,
            first_value=56.0, last_value=54.0, max_value=55.0 + number % 9, ended_at=at + timedelta(minutes=5),
            cleared_at=at + timedelta(minutes=6), cleared_by="auto",
        )  # fmt: skip
    await _story(world)


async def _downlink(world: World) -> None:
    """A sprayer that a linkage switched on for the dust alert, and what was tried before."""
    spray, dust = world.ids["spray-riverside"], world.ids["dust"]
    at = world.now - timedelta(seconds=470)
    lost = {"state": "expired", "reason": "RabbitMQ did not take it", "requested_by": "code-officer"}
    span = {"requested_at": at - timedelta(hours=1), "expires_at": at - timedelta(minutes=59)}
    await _row(world, "command", device_id=spray, name="spray_off", **lost, **span)
    done = {"state": "done", "requested_by": "linkage:dust-spray", "cause": f"alert {dust} is open"}
    times = {"requested_at": at, "expires_at": at + timedelta(minutes=1), "sent_at": at, "delivered_at": at}
    reply = {"replied_at": at + timedelta(seconds=0.4), "reply": "pump on"}
    await _row(world, "command", device_id=spray, name="spray_on", **done, **times, **reply)
    await _row(
        world, "linkage_device", device_id=spray, linkage="dust-spray", is_on=True, since=at, off_command="spray_off"
    )
    told = {"device_id": spray, "linkage": "dust-spray"}
    rest = Jsonb({"until": int(at.timestamp() * 1000)})
    withheld = {"decision": "withheld", "reason": "it rests", "code": "resting", "facts": rest}
    await _row(world, "linkage_decision", at=at - timedelta(minutes=2), **told, **withheld, alert_id=dust)
    await _row(
        world,
        "linkage_decision",
        at=at,
        decision="on",
        reason="alert is open",
        code="alert_open",
        alert_id=dust,
        **told,
    )


async def _story(world: World) -> None:
    """What happened to the dust alert, what the vision alert waits for, and the machinery behind both."""
    dust, hat, at = world.ids["dust"], world.ids["hat"], world.now - timedelta(seconds=480)
    later = at + timedelta(seconds=1)
    for alert in (dust, hat):
        await _row(world, "alert_event", alert_id=alert, at=at, kind="raised", actor="engine")
    delivery = {"target": "city", "phase": "raise", "payload": Jsonb({}), "pending_since": at, "created_at": at}
    sent = {"state": "validated", "attempts": 1, "receipt": "R-1024", "accepted_at": at, "validated_at": later}
    await _row(world, "delivery", alert_id=dust, idempotency_key="k1", **delivery, **sent)
    held = {"state": "held", "reason": "awaiting_review"}
    await _row(world, "delivery", alert_id=hat, idempotency_key="k2", **delivery, **held)
    told = {"state": "sent", "reason": "first_raise", "attempts": 1, "next_attempt_at": at, "sent_at": later}
    person = {"person_id": world.ids["officer"], "channel": "json", "phase": "raised", "created_at": at}
    await _row(world, "notification", alert_id=dust, **person, **told)

    for room in ("ingest", "alerts"):
        started = world.now - timedelta(hours=5)
        await _row(
            world, "worker", name=f"{room}-0", room=room, host="host", pid=4711, started_at=started, beat_at=world.now
        )
    await _row(
        world, "ingest_count", worker="ingest-0", messages=1284031, stored=1283977, duplicates=31, quarantined=23
    )
    odd = {"source": "mqtt", "client": "metro/dust-9", "topic": "smartsite/v1/metro/dust-9/telemetry"}
    why = {"reason": "malformed", "detail": "not JSON: line 1 column 2", "payload": b"x", "payload_bytes": 312}
    await _row(world, "quarantine", arrived_at=at, **odd, **why)


async def _row(world: World, table: str, **values: Any) -> None:
    columns, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    await world.connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})".encode(), values)
