from __future__ import annotations

from smartsite.restarts import RestartPolicy


def test_delay_doubles_with_each_death_in_the_window() -> None:
    policy = RestartPolicy(budget=5, window_s=60, first_delay_s=0.2)
    assert [policy.died(now).delay_s for now in (0, 1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_death_over_the_budget_is_failing_and_slow() -> None:
    policy = RestartPolicy(budget=3, window_s=60, slow_delay_s=30)
    verdicts = [policy.died(now) for now in (0, 1, 2, 3)]
    assert [verdict.failing for verdict in verdicts] == [False, False, False, True]
    assert verdicts[-1].delay_s == 30


def test_old_deaths_are_forgotten() -> None:
    policy = RestartPolicy(budget=3, window_s=60)
    for now in (0, 1, 2, 3):
        policy.died(now)
    assert not policy.died(100).failing
    assert policy.recent(100) == 1


def test_back_off_never_exceeds_the_slow_delay() -> None:
    policy = RestartPolicy(budget=50, window_s=1000, first_delay_s=1, slow_delay_s=30)
    assert max(policy.died(now).delay_s for now in range(40)) == 30
