"""Vision rules: episodes of a camera become one alert at a time."""

from __future__ import annotations

from pathlib import Path

from tests.alerts.timeline import Timeline
from tests.alerts.world import episode, make_camera, make_device, make_registry, rules

HELMET = """
[[rules]]
id = "helmet"
name = "未戴安全帽"
name_en = "No hard hat"
kind = "vision"
severity = "major"
episode = "no_helmet"
scope = { sites = ["site-1"] }
clear_after = "10 s"
"""
REGISTRY = make_registry([make_device(1)], [make_camera(1), make_camera(2), make_camera(3, site=2)])


def test_raised_by_an_episode_and_cleared_after_a_quiet_time(tmp_path: Path) -> None:
    """Pain 9 (thingsboard#10979): what cannot report its own end is over when nothing re-occurs."""
    line = Timeline(rules(tmp_path, HELMET), REGISTRY)
    line.see(at=3, entry=episode(1, "started", started=1, seen=3))
    line.see(at=20, entry=episode(1, "ended", started=1, seen=18, score=0.9))
    line.want(3, "raise", "helmet", camera=1, started_at=1, first=0.8)
    line.want(28, "clear", "helmet", camera=1, started_at=1, ended_at=18, worst=0.9)
    line.run(until=40)


def test_episodes_of_one_camera_join_the_open_alert(tmp_path: Path) -> None:
    """Pain 23 (frigate#15255): one person walking about is one notice."""
    line = Timeline(rules(tmp_path, HELMET), REGISTRY)
    line.see(at=3, entry=episode(1, "started", started=1, seen=3))
    line.see(at=4, entry=episode(2, "started", started=2, seen=4, score=0.95))
    line.see(at=6, entry=episode(1, "ended", started=1, seen=6))
    line.see(at=8, entry=episode(2, "ended", started=2, seen=8))
    line.see(at=15, entry=episode(3, "started", started=14, seen=15))  # within the quiet time
    line.see(at=16, entry=episode(3, "ended", started=14, seen=16))
    line.see(at=17, entry=episode(4, "started", camera=2, started=17, seen=17))
    line.want(3, "raise", "helmet", camera=1)
    line.want(4, "join", "helmet", camera=1, worst=0.95)
    line.want(15, "join", "helmet", camera=1)
    line.want(17, "raise", "helmet", camera=2)
    line.want(26, "clear", "helmet", camera=1, ended_at=16)
    line.run(until=100)


def test_other_sites_and_kinds_are_passed_over(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, HELMET.replace("no_helmet", "intrusion")), REGISTRY)
    line.see(at=3, entry=episode(1, "started", started=1, seen=3))
    line.run(until=5)
    line = Timeline(rules(tmp_path, HELMET), REGISTRY)
    line.see(at=3, entry=episode(1, "started", camera=3, site=2, started=1, seen=3))
    line.see(at=4, entry=episode(2, "ended", started=1, seen=3))
    line.run(until=50)


def test_the_evidence_of_the_first_sighting_goes_with_the_alert(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, HELMET.replace("10 s", "0 s")), REGISTRY)
    entry = episode(7, "started", started=1, seen=3)
    line.see(at=3, entry=entry)
    line.see(at=5, entry=episode(7, "ended", started=1, seen=5))
    line.want(3, "raise", "helmet", camera=1)
    line.want(5, "clear", "helmet", camera=1, ended_at=5)
    line.run(until=10)
    sighting = line.told[0][1].sighting
    assert sighting is not None
    assert (sighting.episode, sighting.frame_sha256, sighting.crop_sha256) == (7, entry.frame_sha256, entry.crop_sha256)


def test_cleared_by_hand_the_next_episode_raises_anew(tmp_path: Path) -> None:
    line = Timeline(rules(tmp_path, HELMET), REGISTRY)
    line.see(at=3, entry=episode(1, "started", started=1, seen=3))
    line.want(3, "raise", "helmet", camera=1)
    line.run(until=5)
    line.engine.close("helmet", "camera:1", 0)
    assert not line.engine.is_open("helmet", "camera:1")
    (told,) = line.engine.feed_episode(episode(2, "started", started=6, seen=7))
    assert told.phase == "raise"
