"""Figures of the vision room for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

FRAMES = Counter(
    "smartsite_vision_frames_total",
    "Pictures by what became of them: received, analysed, gated (unchanged), skipped (too busy), corrupt",
    ["camera", "outcome"],
)
INFERENCE = Histogram(
    "smartsite_vision_inference_seconds",
    "CPU time of looking at one picture",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
)
ONLINE = Gauge(
    "smartsite_vision_camera_online", "1 while the camera delivers", ["camera"], multiprocess_mode="mostrecent"
)
EPISODES = Counter("smartsite_vision_episodes_total", "Episodes by phase: started, ended", ["phase"])
EPISODES_WAITING = Gauge(
    "smartsite_vision_episodes_waiting", "Changes of episodes not in the database yet", multiprocess_mode="livesum"
)
EPISODES_LOST = Counter("smartsite_vision_episodes_lost_total", "Changes of episodes that could not be kept")
EVIDENCE_LOST = Counter(
    "smartsite_vision_evidence_lost_total", "Files of episodes that the disk did not take, by role", ["role"]
)
VIEWERS = Gauge("smartsite_vision_viewers", "Connections that watch a camera live", multiprocess_mode="livesum")
