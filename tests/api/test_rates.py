"""Buckets of tokens, with time as an argument."""

from saga.operations.api.rates import Rates


def test_a_burst_and_then_the_rate() -> None:
    rates = Rates(rate=10, burst=3)
    assert [rates.take("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert rates.take("a", 0.0) == 0.1
    assert rates.take("b", 0.0) == 0, "everyone has a bucket"
    assert rates.take("a", 0.05) == 0.05
    assert rates.take("a", 0.1) == 0
    assert rates.take("a", 0.1) > 0
    assert [rates.take("a", 100.0) for _ in range(4)] == [0, 0, 0, 0.1], "no more than a burst"


def test_memory_is_bounded() -> None:
    rates = Rates(rate=1, burst=1)
    for number in range(20_000):
        rates.take(number, 0.0)
    assert rates.take(19_999, 0.0) > 0
    assert rates.take(0, 0.0) == 0, "the one that asked longest ago is forgotten"
