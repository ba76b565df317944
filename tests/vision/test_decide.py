"""The decision as timed scripts, without pictures: who is seen when, and which episodes that makes."""

from __future__ import annotations

import pytest

from core.settings import CameraSettings
from tests.vision.boxes import CLASSES, Box, detections, head
from vision.decide import Decider
from vision.judge import Left
from vision.tracker import Tracker

OPTIONS = CameraSettings(vote_positive=3, vote_window=5, quiet_s=4, cool_down_s=0, head_px=20)


SIZE = (1000, 500)


class Scene:
    """Plays pictures at one a second by default, and notes what starts and ends."""

    def __init__(self, **options: float) -> None:
        self.decider = Decider(OPTIONS.model_copy(update=options), zone="gate", classes=CLASSES)
        self.tracker = Tracker(forget_s=2)
        self.told: list[tuple[int, str, int]] = []

    def see(self, second: float, *boxes: tuple[str, float, Box], looked: bool = True) -> None:
        found = detections(*boxes)
        tracks = self.tracker.update(found, second)
        now = round(second * 1e6)
        changes = self.decider.observe(now, found, tracks, alive=self.tracker.alive, looked=looked, size=SIZE)
        self.told += [(round(second), change.phase, change.episode.track) for change in changes]


def play(script: dict[int, str], **options: float) -> list[tuple[int, str, int]]:
    """`script` by second, a letter a box: b bare, h helmet, B and H elsewhere, w weak, s small, space nobody."""
    kinds = {
        "b": head(100),
        "B": head(900),
        "h": head(100, name="helmet"),
        "H": head(900, name="helmet"),
        "w": head(100, score=0.4),
        "s": head(100, size=15),
    }
    scene = Scene(**options)
    for second, word in script.items():
        scene.see(second, *(kinds[letter] for letter in word.strip()))
    return scene.told


def line(text: str) -> dict[int, str]:
    """One letter a second."""
    return dict(enumerate(text))


@pytest.mark.parametrize(
    ("script", "options", "expected"),
    [
        pytest.param(line("bbb      "), {}, [(2, "started", 1), (6, "ended", 1)], id="three looks of five, quiet end"),
        pytest.param(line("bb       "), {}, [], id="two are not enough"),
        pytest.param(line("bhbhb    "), {}, [(4, "started", 1), (8, "ended", 1)], id="three of five though doubted"),
        pytest.param(line("bhhbhhb  "), {}, [], id="never three of five"),
        pytest.param(line("hhhhhhhh "), {}, [], id="helmets are nobody's fault"),
        pytest.param(line("wwwwwwww "), {}, [], id="weak boxes do not vote"),
        pytest.param(line("ssssssss "), {}, [], id="too small is unknown"),
        pytest.param(line("bbbwww   "), {}, [(2, "started", 1)], id="weak boxes keep an episode alive"),
        pytest.param(line("bbbbbbbbbbbb"), {}, [(2, "started", 1)], id="one episode however long the visit"),
        pytest.param(
            {**line("bbb"), **dict.fromkeys(range(3, 9), " "), **dict.fromkeys(range(9, 13), "b")},
            {},
            [(2, "started", 1), (6, "ended", 1), (11, "started", 2)],
            id="who comes back after the end is a new visit",
        ),
        pytest.param(
            {**line("bbb"), **dict.fromkeys(range(3, 9), " "), **dict.fromkeys(range(9, 16), "b")},
            {"cool_down_s": 12},
            [(2, "started", 1), (6, "ended", 1), (14, "started", 2)],
            id="but not within the cool-down, counted from the last sighting",
        ),
        pytest.param(
            line("bbb   bbb"),
            {"quiet_s": 8},
            [(2, "started", 1)],
            id="lost from sight and found again",
        ),
        pytest.param(
            dict.fromkeys(range(4), "bB"), {}, [(2, "started", 1), (2, "started", 2)], id="two people, two episodes"
        ),
        pytest.param(
            dict.fromkeys(range(4), "bB"), {"cool_down_s": 60}, [(2, "started", 1)], id="one of them with a cool-down"
        ),
        pytest.param(dict.fromkeys(range(4), "bH"), {}, [(2, "started", 1)], id="a helmet beside does not help"),
    ],
)
def test_scripts(script: dict[int, str], options: dict[str, float], expected: list[tuple[int, str, int]]) -> None:
    """Pain 22 (wujixiu/helmet-detection#3, yolov5#7830): a person is judged by a vote over seconds, not by a frame."""
    assert play(script, **options) == expected


def test_an_episode_tells_start_last_sighting_and_peak() -> None:
    scene = Scene()
    for second, score in enumerate([0.6, 0.7, 0.65, 0.9, 0.3]):
        scene.see(second, head(100, score=score))
    [episode] = scene.decider.episodes
    assert (episode.started_at, episode.last_seen_at) == (0, 4_000_000)
    assert episode.peak_score == pytest.approx(0.9)
    assert [round(vote.score, 2) for vote in episode.votes] == [0.6, 0.7, 0.65]
    assert [round(look.score, 2) for look in episode.history.looks] == [0.6, 0.7, 0.65, 0.9, 0.3]


def test_the_history_goes_on_with_every_look_at_the_person_whatever_it_says_and_only_at_that_person() -> None:
    scene = Scene()
    for second in range(3):
        scene.see(second, head(100), head(600, name="helmet"))
    scene.see(3, head(100, name="helmet"), head(600, name="helmet"))
    scene.see(4, head(100), head(600, name="helmet"), looked=False)
    scene.see(5, head(100, score=0.9), head(600, name="helmet"))
    [episode] = scene.decider.episodes
    looks = [(look.time // 1_000_000, look.bare) for look in episode.history.looks]
    assert looks == [(0, True), (1, True), (2, True), (3, False), (5, True)]
    assert episode.box == (100, 100, 140, 140)


def test_the_same_picture_again_is_no_second_opinion_but_the_person_is_still_there() -> None:
    scene = Scene()
    scene.see(0, head())
    for second in range(1, 10):
        scene.see(second, head(), looked=False)
    assert scene.told == []
    for second in (10, 11):
        scene.see(second, head())
    assert scene.told == [(11, "started", 1)]
    for second in range(12, 30):
        scene.see(second, head(), looked=False)
    assert scene.told == [(11, "started", 1)]


def test_a_candidate_is_watched_closely_until_it_is_decided_or_given_up() -> None:
    scene = Scene()
    assert not scene.decider.attentive(0)
    scene.see(0, head())
    assert scene.decider.attentive(0)
    scene.see(1, head())
    scene.see(2, head())
    assert not scene.decider.attentive(2_000_000), "decided: its episode has begun"

    doubtful = Scene()
    for second in range(15):
        assert doubtful.decider.attentive(second * 1_000_000) == (second > 0)
        doubtful.see(second, head(name="head" if second % 3 == 0 else "helmet"))
    assert not doubtful.decider.attentive(15_000_000), "fifteen looks at one person have not decided"


def test_a_later_watch_goes_on_with_what_an_earlier_one_left() -> None:
    first = Scene()
    for second in range(3):
        first.see(second, head())
    left = first.decider.leave()

    again = Scene()
    again.decider.resume(left)
    for second in range(4, 8):
        again.see(second, head(120))
    assert again.told == []
    assert len(again.decider.episodes) == 1

    nobody = Scene()
    nobody.decider.resume(left)
    nobody.see(20)
    assert nobody.told == [(20, "ended", 1)]
    assert left.episodes[0].ended_at == 7_000_000


def test_a_later_watch_keeps_the_cool_down() -> None:
    scene = Scene(cool_down_s=60)
    scene.decider.resume(Left((), {("no_helmet", "gate"): 0}))
    for second in range(50, 65):
        scene.see(second, head())
    assert scene.told == [(60, "started", 1)]


def test_a_camera_that_is_no_longer_watched_ends_its_episodes() -> None:
    scene = Scene()
    for second in range(3):
        scene.see(second, head())
    [change] = scene.decider.close()
    assert (change.phase, change.episode.ended_at) == ("ended", 2_000_000)
