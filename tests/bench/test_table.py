"""Medians and the table."""

import math

from bench.table import Result, medians, render


def test_medians_leave_out_what_a_turn_did_not_have() -> None:
    numbers = [3.0, math.nan, 1.0, 8.0]
    results = [Result("steps", "ours", {"rate": number}) for number in numbers]
    assert medians(results) == {"steps": {"ours": {"rate": 3.0}}}


def test_the_ratio_says_which_way_is_better() -> None:
    text = render(
        [
            Result("steps", "ours", {"rate": 4000, "cpu": 0.5}),
            Result("steps", "chain", {"rate": 1000, "cpu": 1.0}),
        ],
        ["ours", "chain"],
    )
    assert "| steps | steps/s | 4,000 | 1,000 | 4.0x better |" in text
    assert "| steps | CPU ms a step | 0.50 | 1.00 | 2.0x better |" in text


def test_what_an_engine_cannot_do_is_a_dash() -> None:
    text = render([Result("parked", "ours", {"wake": 900})], ["ours", "chain"])
    assert "| parked | woken/s | 900 | - |  |" in text
