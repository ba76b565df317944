"""What the capture process and its owner say to each other.

Owner to process, on its standard input: one JSON `Order`, then any number of JSON `Pace`, `Want`, `Cut`, `Stream` and
`Moved`, a line each; the end of the input ends the process. Process to owner, on its standard output: messages of a
head (uint32 length, JSON) and a payload (uint32 length, bytes), little-endian.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

State = Literal["starting", "online", "stalled", "unreachable", "broken"]
Reason = Literal[
    "",
    "time_out",
    "wrong_password",
    "forbidden",
    "not_found",
    "refused",
    "cannot_connect",
    "no_video",
    "unknown_protocol",
    "not_decodable",
    "no_data",
    "connection_lost",
    "ended",
    "frozen",
    "black",
    "covered",
    "moved",
    "capture_died",
    "capture_hung",
    "invalid_options",
    "internal_error",
]
"""Why a camera is in its state: stable codes, with words in the page and in docs/cameras.md."""

_LENGTHS = struct.Struct("<II")
LENGTHS_BYTES = _LENGTHS.size


class Pace(msgspec.Struct, frozen=True, tag="pace"):
    """How many pictures a second are wanted, whether unchanged ones too, and whether each in full size as well."""

    fps: float
    everything: bool = False
    full: bool = False


class Want(msgspec.Struct, frozen=True, tag="want"):
    """The picture of `time` is wanted in full size; 0: the newest one."""

    time: int


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag="cut"):
    """A clip is wanted, of these times (microseconds since the epoch). It is answered by a `Clip` of the same `id`."""

    id: int
    since: int
    until: int


class Stream(msgspec.Struct, frozen=True, tag="stream"):
    """Whether the encoded video is wanted as it comes, in `Segment`s."""

    on: bool


class Moved(msgspec.Struct, frozen=True, tag="moved"):
    """Somebody moves the camera: for so many seconds from now another view is no fault, and nothing to learn from."""

    quiet_s: float


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Which camera to read and how; meanings as in core.settings.CameraSettings."""

    url: str
    transport: Literal["tcp", "udp"]
    loop: bool
    open_timeout_s: float
    read_timeout_s: float
    gate_share: float
    gate_look_s: float
    frozen_s: float
    blind_s: float
    view_shift: float
    clip_s: float
    """Seconds of the encoded stream that are kept for clips ..."""
    clip_bytes: int
    """... while they are no more than this; 0: no clips."""
    look_px: int
    """Longer side of the pictures that the detector looks at; smaller streams stay as they are."""
    pace: Pace


Condition = Literal["night", "noisy", "hazy"]
"""Light and weather in which a camera is judged otherwise or sees less."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture looks as a whole, in grey levels of its brightness."""

    luma: float
    """Mean brightness: 16 is black, 235 white."""
    colour: float
    """Mean distance of the colour planes from neutral."""
    contrast: float
    """Between the 5 % darkest and the 5 % lightest parts."""
    noise: float
    """By which still pixels differ from picture to picture, standard deviation."""


class Picture(msgspec.Struct, frozen=True, kw_only=True, tag="picture"):
    """One sampled picture. The payload holds its I420 planes at the size for a look (look_width * look_height * 3 / 2
    bytes) and behind them, where `full`, at its own size; or nothing where the motion gate saw no change.

    time: wall clock of its arrival, microseconds since the epoch. stream_time: seconds of the stream's own clock.
    """

    time: int
    stream_time: float
    width: int
    height: int
    look_width: int
    look_height: int
    moved: bool
    sight: Sight
    full: bool = False


class Full(msgspec.Struct, frozen=True, kw_only=True, tag="full"):
    """The answer to `Want`: the payload holds the I420 planes of that picture, or nothing where it is held no more.

    asked: the time that was asked for. time: that of the picture.
    """

    asked: int
    time: int = 0
    width: int = 0
    height: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """The camera's state changed. `message` is for people."""

    state: State
    reason: Reason = ""
    message: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0


class Figures(msgspec.Struct, frozen=True, kw_only=True, tag="figures"):
    """Counts since the process started, sent every second; also the sign that it lives."""

    frames_in: int = 0
    """Video packets received."""
    decoded: int = 0
    """Pictures decoded from them."""
    sampled: int = 0
    """Pictures taken for a look."""
    gated: int = 0
    """Of them, unchanged."""
    skipped: int = 0
    """Pictures replaced by a newer one, because the owner was busy."""
    corrupt: int = 0
    """Packets or pictures that could not be decoded whole."""
    fps: float = 0
    """Frames a second that the camera sends."""
    key_interval_s: float = 0
    """Seconds between its key frames; 0: not known yet."""
    keys_only: bool = False
    """Whether only key frames are decoded."""
    decode_ms: float = 0
    """CPU time of reading and decoding, a sampled picture."""


class Clip(msgspec.Struct, frozen=True, kw_only=True, tag="clip"):
    """The answer to a `Cut`. The payload is an MP4, or nothing where it could not be cut.

    first, last: times of its first and last picture, microseconds since the epoch. reason: why there is none, in words.
    """

    id: int
    first: int = 0
    last: int = 0
    reason: str = ""


class Segment(msgspec.Struct, frozen=True, kw_only=True, tag="segment"):
    """A piece of the encoded video as fragmented MP4 (ISO/IEC 14496-12), while it is wanted.

    kind: `init`, the payload is a new beginning (ftyp, moov); `fragment`, some pictures (moof, mdat); `none`, there is
    no payload and nothing will come, since `codec` does not play in browsers. codec: as browsers name it (RFC 6381),
    of `none` as FFmpeg does. key: a player may begin here. time: when its first packet arrived, microseconds since the
    epoch. at: time of its first picture within the MP4, seconds.
    """

    kind: Literal["init", "fragment", "none"]
    codec: str = ""
    width: int = 0
    height: int = 0
    key: bool = False
    time: int = 0
    at: float = 0


Message = Picture | Full | Status | Figures | Clip | Segment
Demand = Pace | Want | Cut | Stream | Moved

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)
demand_decoder = msgspec.json.Decoder(Demand)
order_decoder = msgspec.json.Decoder(Order)


def head(message: Message, payload_bytes: int) -> bytes:
    """Everything of a message that comes before its payload."""
    text = _encoder.encode(message)
    return _LENGTHS.pack(len(text), payload_bytes) + text


def lengths(data: bytes) -> tuple[int, int]:
    """Lengths of head and payload from a message's first LENGTHS_BYTES bytes."""
    first, second = _LENGTHS.unpack(data)
    return first, second


def message(text: bytes) -> Message:
    """The message in a head."""
    decoded: Message = _decoder.decode(text)
    return decoded


def line(order: Order | Demand) -> bytes:
    """A line for the process's standard input."""
    return _encoder.encode(order) + b"\n"
