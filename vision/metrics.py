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
STATE = Gauge(
    "smartsite_vision_camera_state",
    "1 for the state and reason that a camera is in, 0 for those that it was in",
    ["camera", "state", "reason"],
    multiprocess_mode="mostrecent",
)
SINCE = Gauge(
    "smartsite_vision_camera_since_seconds",
    "Since when a camera is in its state, seconds since the epoch",
    ["camera"],
    multiprocess_mode="mostrecent",
)
CONDITION = Gauge(
    "smartsite_vision_camera_condition",
    "1 while light or weather is such that a camera is judged otherwise or sees less",
    ["camera", "condition"],
    multiprocess_mode="mostrecent",
)
FPS = Gauge(
    "smartsite_vision_camera_fps", "Frames a second that a camera sends", ["camera"], multiprocess_mode="mostrecent"
)
KEY_INTERVAL = Gauge(
    "smartsite_vision_camera_key_interval_seconds",
    "Seconds between a camera's key frames; 0: not known",
    ["camera"],
    multiprocess_mode="mostrecent",
)
DECODE = Gauge(
    "smartsite_vision_camera_decode_seconds",
    "CPU time of reading and decoding, a picture that was taken for a look",
    ["camera"],
    multiprocess_mode="mostrecent",
)
CAMERA_INFERENCE = Gauge(
    "smartsite_vision_camera_inference_seconds",
    "CPU time of looking at one picture of a camera, smoothed",
    ["camera"],
    multiprocess_mode="mostrecent",
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
