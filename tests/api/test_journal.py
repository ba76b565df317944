"""What changed since a number, with the newest of each thing."""

from __future__ import annotations

from typing import Any

from api.journal import NAMES, Journal


def lists(**given: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {name: given.get(name, []) for name in NAMES}


def reading(device: int, site: int = 1, time: int = 0, **values: float) -> dict[str, Any]:
    told = {name: {"value": value, "quality": "N"} for name, value in values.items()}
    return {"device_id": device, "site_id": site, "time": time, "values": told}


def alert(number: int, site: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "site_id": site, **more}


def test_only_what_changed_after_the_number_in_the_order_of_changes() -> None:
    journal = Journal()
    journal.add(lists(readings=[reading(1, pm10=1), reading(2, pm10=2)], alerts=[alert(7)]))
    journal.add(lists(readings=[reading(1, pm10=3)]))
    assert journal.since(1, None) == lists(readings=[reading(1, pm10=3)])
    assert journal.since(0, None) == lists(readings=[reading(2, pm10=2), reading(1, pm10=3)], alerts=[alert(7)])
    assert journal.since(2, None) == lists()


def test_channels_that_came_in_different_messages_are_all_told() -> None:
    journal = Journal()
    journal.add(lists(readings=[reading(1, time=1, pm10=1, laeq=60)]))
    journal.add(lists(readings=[reading(1, time=2, laeq=61)]))
    journal.add(lists(readings=[reading(1, time=3, wind_speed=2)]))
    assert journal.since(2, None)["readings"] == [reading(1, time=3, wind_speed=2)]
    assert journal.since(1, None)["readings"] == [reading(1, time=3, laeq=61, wind_speed=2)]
    assert journal.since(0, None)["readings"] == [reading(1, time=3, pm10=1, laeq=61, wind_speed=2)]


def test_only_of_ones_own_sites() -> None:
    journal = Journal()
    journal.add(lists(readings=[reading(1, site=1, pm10=1), reading(2, site=2, pm10=2)], alerts=[alert(7, site=2)]))
    assert journal.since(0, frozenset([1])) == lists(readings=[reading(1, site=1, pm10=1)])


def test_it_does_not_grow_with_alerts_but_says_from_where_on_it_is_whole() -> None:
    journal = Journal(most_alerts=3)
    for number in range(1, 6):
        journal.add(lists(alerts=[alert(number)]))
    assert journal.floor == 2
    assert [one["id"] for one in journal.since(journal.floor, None)["alerts"]] == [3, 4, 5]


def test_after_forgetting_nobody_goes_on_from_before() -> None:
    journal = Journal()
    journal.add(lists(alerts=[alert(1)]))
    journal.forget()
    assert journal.floor == journal.number == 2
    journal.add(lists(alerts=[alert(2)]))
    assert journal.since(journal.floor, None) == lists(alerts=[alert(2)])
