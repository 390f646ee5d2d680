"""The numbers as a table, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from bench.workloads import WORKLOADS
from bench.workloads.workload import NOISE, Metric


@dataclass(frozen=True, slots=True)
class Result:
    """One turn of one engine on one workload."""

    workload: str
    engine: str
    numbers: dict[str, float]


def medians(results: Iterable[Result]) -> dict[str, dict[str, dict[str, float]]]:
    """Workload → engine → metric → median over the turns (nan where no turn had it)."""
    collected: dict[str, dict[str, dict[str, list[float]]]] = {}
    for result in results:
        engine = collected.setdefault(result.workload, {}).setdefault(result.engine, {})
        for name, number in result.numbers.items():
            engine.setdefault(name, []).append(number)
    return {
        workload: {
            engine: {name: _median(values) for name, values in numbers.items()}
            for engine, numbers in engines.items()
        }
        for workload, engines in collected.items()
    }


def render(results: Iterable[Result], engines: list[str]) -> str:
    """The table as Markdown: one line a metric, one column an engine, and their ratio."""
    compared = len(engines) == 2
    head = ["workload", "", *engines, *(["ratio"] if compared else [])]
    lines = [_line(head), _line(["---"] * len(head))]
    for workload, numbers in medians(results).items():
        for name, metric in WORKLOADS[workload].metrics.items():
            values = [numbers.get(engine, {}).get(name, math.nan) for engine in engines]
            cells = [_number(value, metric.digits) for value in values]
            ratio = [_ratio(values[0], values[1], metric)] if compared else []
            lines.append(_line([workload, metric.title, *cells, *ratio]))
    return "\n".join(lines)


def noise(results: Iterable[Result]) -> float:
    """Cores that strangers kept busy, the median over all turns."""
    return _median([result.numbers.get(NOISE, math.nan) for result in results])


def _median(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return median(known) if known else math.nan


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _ratio(first: float, second: float, metric: Metric) -> str:
    if math.isnan(first) or math.isnan(second) or not first or not second:
        return ""
    better = first / second if metric.more_is_better else second / first
    return f"{better:.1f}x better" if better >= 1 else f"{1 / better:.1f}x worse"
