"""Zones of a camera's picture: which are refused, and which episodes they make."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import InvalidInput
from core.settings import CameraSettings
from tests.vision.boxes import CLASSES, Box, detections, head
from vision.decide import Decider
from vision.judge import Left
from vision.options import camera_settings
from vision.tracker import Tracker
from vision.wire import Condition

SIZE = (1000, 500)
LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
CORNER = [[0, 0], [0.2, 0], [0.2, 1], [0, 1]]


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        pytest.param([[0, 0], [1, 1], [1, 0], [0, 1]], "crosses itself", id="a bow tie"),
        pytest.param([[0, 0], [1, 0], [0.5, 0]], "crosses itself", id="there and back"),
        pytest.param([[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]], "crosses itself", id="a corner on another side"),
        pytest.param([[0, 0], [1, 0], [0, 0], [0, 1]], "given twice", id="a corner twice"),
        pytest.param([[0, 0], [1.2, 0], [1, 1]], "outside the picture", id="outside"),
        pytest.param([[0, 0], [0.5, 0.00001], [1, 0]], "hardly any area", id="a line"),
        pytest.param([[0, 0], [1, 1]], "at least 3", id="two corners"),
    ],
)
def test_a_polygon_that_is_none_is_refused_with_the_reason(polygon: list[list[float]], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        camera_settings(CameraSettings(), {"zones": [{"name": "yard", "polygon": polygon}]})
    assert "zones.0.polygon" in str(refused.value)


def test_simple_polygons_are_taken_whatever_their_turn() -> None:
    star = [[0.5, 0], [0.6, 0.4], [1, 0.5], [0.6, 0.6], [0.5, 1], [0.4, 0.6], [0, 0.5], [0.4, 0.4]]
    for polygon in (star, star[::-1], LEFT_HALF):
        [zone] = camera_settings(CameraSettings(), {"zones": [{"name": "yard", "polygon": polygon}]}).zones
        assert len(zone.polygon) == len(polygon)


class Scene:
    """Plays pictures at one a second and notes what starts and ends."""

    def __init__(self, *zones: dict[str, object], **options: object) -> None:
        given = {"vote_positive": 3, "vote_window": 5, "quiet_s": 4, "cool_down_s": 0, "zones": zones, **options}
        self.decider = Decider(camera_settings(CameraSettings(), given), zone="gate", classes=CLASSES)
        self.tracker = Tracker(forget_s=2)
        self.told: list[tuple[int, str, str, str]] = []

    def see(
        self, second: int, *boxes: tuple[str, float, Box], looked: bool = True, conditions: Sequence[Condition] = ()
    ) -> None:
        found = detections(*boxes)
        tracks = self.tracker.update(found, second)
        changes = self.decider.observe(
            second * 1_000_000,
            found,
            tracks,
            alive=self.tracker.alive,
            looked=looked,
            size=SIZE,
            conditions=frozenset(conditions),
        )
        self.told += [(second, change.phase, change.episode.kind, change.episode.zone) for change in changes]


def test_hats_are_judged_in_included_zones_only_and_never_in_excluded_ones() -> None:
    include = {"name": "yard", "polygon": LEFT_HALF}
    exclude = {"name": "street", "use": "exclude", "polygon": CORNER}
    scene = Scene(include, exclude)
    for second in range(4):
        scene.see(second, head(50), head(400, y=100), head(800, y=300))
    assert scene.told == [(2, "started", "no_helmet", "yard")]
    assert scene.decider.episodes[0].box[0] == 400

    only_excluded = Scene(exclude)
    for second in range(4):
        only_excluded.see(second, head(50), head(800, y=300))
    assert only_excluded.told == [(2, "started", "no_helmet", "gate")]


def test_a_person_in_a_forbidden_zone_is_an_intrusion_with_or_without_a_hat() -> None:
    scene = Scene({"name": "pit", "use": "forbidden", "polygon": LEFT_HALF})
    for second in range(3):
        scene.see(second, head(700, name="helmet"))
    assert scene.told == []
    for second in range(3, 12):
        scene.see(second, *([head(300, name="helmet")] if second < 7 else []))
    assert scene.told == [(5, "started", "intrusion", "pit"), (10, "ended", "intrusion", "pit")]

    bare = Scene({"name": "pit", "use": "forbidden", "polygon": LEFT_HALF})
    for second in range(4):
        bare.see(second, head(300))
    assert {kind for _, _, kind, _ in bare.told} == {"intrusion", "no_helmet"}
    assert len({(episode.track, episode.started_at) for episode in bare.decider.episodes}) == 1


def test_a_post_without_anybody_is_an_episode_until_somebody_comes() -> None:
    scene = Scene({"name": "lookout", "use": "post", "polygon": LEFT_HALF, "absent_s": 10})
    for second in range(5):
        scene.see(second, head(300, name="helmet"))
    for second in range(5, 15):
        scene.see(second, head(700, name="helmet"), looked=False)
    assert scene.decider.attentive(15_000_000), "a look must tell"
    scene.see(15, head(700, name="helmet"))
    assert scene.told == [(15, "started", "post_unmanned", "lookout")]
    [episode] = scene.decider.episodes
    assert (episode.started_at, episode.box) == (4_000_000, (0, 0, 500, 500))
    scene.see(16)
    scene.see(17, head(300, name="helmet"))
    assert scene.told[1:] == [(17, "ended", "post_unmanned", "lookout")]
    assert episode.ended_at == 17_000_000


def test_a_time_without_pictures_is_no_time_without_people() -> None:
    scene = Scene({"name": "lookout", "use": "post", "polygon": LEFT_HALF, "absent_s": 100})
    scene.see(0)
    for second in range(500, 590):
        scene.see(second)
    assert scene.told == []
    for second in range(590, 602):
        scene.see(second)
    assert scene.told == [(600, "started", "post_unmanned", "lookout")]


def test_a_later_watch_goes_on_with_posts_and_ends_those_of_zones_that_are_gone() -> None:
    post = {"name": "lookout", "use": "post", "polygon": LEFT_HALF, "absent_s": 5}
    first = Scene(post)
    for second in range(7):
        first.see(second)
    left = first.decider.leave()
    assert [episode.kind for episode in left.episodes] == ["post_unmanned"]

    again = Scene(post)
    again.decider.resume(left)
    for second in range(8, 20):
        again.see(second)
    assert again.told == []
    assert len(again.decider.episodes) == 1

    gone = Scene()
    gone.decider.resume(Left(left.episodes, {}))
    assert [change.phase for change in gone.decider.tick(20_000_000)] == ["ended"]


@pytest.mark.parametrize(
    ("conditions", "options", "episodes"),
    [
        pytest.param([], {"night_score": 0.9, "noise_score": 0.9}, 1, id="a clear day"),
        pytest.param(["night"], {"night_score": 0.9}, 0, id="night"),
        pytest.param(["night"], {"night_head_px": 1000}, 0, id="heads at night"),
        pytest.param(["noisy"], {"noise_score": 0.9}, 0, id="noise"),
        pytest.param(["noisy"], {"noise_score": 0.3, "score": 0.9}, 0, id="noise never takes less"),
        pytest.param(["night", "noisy"], {"night_score": 0.3, "noise_score": 0.9}, 0, id="noise at night"),
        pytest.param(["hazy"], {"night_score": 0.9, "noise_score": 0.9}, 1, id="haze makes no heads up"),
    ],
)
def test_in_some_conditions_a_vote_takes_more(
    conditions: list[Condition], options: dict[str, object], episodes: int
) -> None:
    scene = Scene(**options)
    for second in range(4):
        scene.see(second, head(score=0.8), conditions=conditions)
    assert len(scene.told) == episodes
