"""Draws the Grafana dashboard from a Prometheus' data: its panels, queries and units, as SVG.

    python -m bench.draw_dashboard http://127.0.0.1:9090 --minutes 180 > dashboard.svg

For the documentation, and for a look without Grafana. What Grafana itself would draw differs in
type and colour, not in what is shown.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import httpx

FILE = Path(__file__).parents[1] / "deploy/chart/files/grafana-dashboard.json"
_COLUMN, _LINE, _GAP, _HEAD = 60, 27, 6, 58
_WIDTH = 24 * _COLUMN
_POINTS = 120
_COLORS = {
    "green": "#17683a",
    "red": "#a61b1b",
    "dark-red": "#6b0f0f",
    "orange": "#c2621b",
    "yellow": "#b39100",
    "blue": "#2563a8",
}
_PALETTE = ("#17683a", "#2563a8", "#c2621b", "#7a4fa3", "#0f7f86", "#b39100", "#a61b1b", "#5b6472")
_STYLE = """
    text { font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-size: 11px; fill: #1f2937 }
    .title { font-size: 12.5px; font-weight: 600 }
    .row { font-size: 15px; font-weight: 600; fill: #1e3a5f }
    .head { font-size: 19px; font-weight: 600 }
    .note { fill: #5b6472 }
    .axis { font-size: 10px; fill: #5b6472 }
    .big { font-weight: 600; text-anchor: middle }
    .name { text-anchor: middle; fill: #5b6472 }
    .panel { fill: #ffffff; stroke: #d9d5cb }
    .grid { stroke: #ece9e2 }
    .line { fill: none; stroke-width: 1.6 }
    .limit { stroke-dasharray: 5 4 }
"""  # noqa: E501 (CSS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Prometheus, and the span that is drawn."""

    http: httpx.Client
    start: float
    end: float
    window: str

    def fill_in(self, query: str) -> str:
        """A query as Grafana sends it, with everything chosen."""
        for name in ("namespace", "job", "instance"):
            query = query.replace(f"${name}", ".*")
        return query.replace("$__rate_interval", self.window)

    def now(self, query: str) -> list[dict[str, Any]]:
        """Its series at the end of the span."""
        return self._ask("query", query=self.fill_in(query), time=self.end)

    def over(self, query: str) -> list[dict[str, Any]]:
        """Its series over the span."""
        step = (self.end - self.start) / _POINTS
        return self._ask(
            "query_range", query=self.fill_in(query), start=self.start, end=self.end, step=step
        )

    def _ask(self, path: str, **params: Any) -> list[dict[str, Any]]:
        answer = self.http.get(f"/api/v1/{path}", params=params)
        answer.raise_for_status()
        return answer.json()["data"]["result"]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a panel stands, in pixels."""

    x: float
    y: float
    w: float
    h: float


def _box(at: dict[str, Any]) -> Box:
    width, height = at["w"] * _COLUMN - _GAP, at["h"] * _LINE - _GAP
    return Box(at["x"] * _COLUMN + _GAP / 2, at["y"] * _LINE + _HEAD, width, height)


def draw(dashboard: dict[str, Any], source: Source, note: str) -> str:
    """The whole dashboard."""
    panels = dashboard["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * _LINE + _HEAD + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(dashboard["title"])}: {escape(note)}</title>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fcfbf8"/>',
        f'<text x="10" y="26" class="head">{escape(dashboard["title"])}</text>',
        f'<text x="10" y="45" class="note">{escape(note)}</text>',
    ]
    drawers = {"row": draw_row, "stat": draw_stat, "timeseries": draw_graph}
    for panel in panels:
        parts += drawers[panel["type"]](panel, _box(panel["gridPos"]), source)
    return "\n".join([*parts, "</svg>\n"])


def draw_row(panel: dict[str, Any], box: Box, _: Source) -> list[str]:
    """A row's title."""
    return [f'<text x="{box.x + 7}" y="{box.y + 16}" class="row">{escape(panel["title"])}</text>']


def _frame(panel: dict[str, Any], box: Box) -> list[str]:
    x, y = round(box.x, 1), round(box.y, 1)
    return [
        f'<rect x="{x}" y="{y}" width="{box.w}" height="{box.h}" rx="4" class="panel"/>',
        f'<text x="{x + 9}" y="{y + 18}" class="title">{escape(panel["title"])}</text>',
    ]


def _legend(target: dict[str, Any], series: dict[str, Any]) -> str:
    text: str = target["legendFormat"]
    for name, value in series["metric"].items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def draw_stat(panel: dict[str, Any], box: Box, source: Source) -> list[str]:
    """The newest values, large, in their thresholds' colour."""
    values = [
        (_legend(target, series), float(series["value"][1]))
        for target in panel["targets"]
        for series in source.now(target["expr"])
    ]
    parts, defaults = _frame(panel, box), panel["fieldConfig"]["defaults"]
    beside = 1 if len(values) == 1 or box.h > 4 * _LINE else len(values)
    lines = math.ceil(len(values) / beside)
    width, height = box.w / beside, (box.h - 26) / max(1, lines)
    for number, (name, value) in enumerate(values):
        x = box.x + (number % beside + 0.5) * width
        y = box.y + 26 + (number // beside + 0.5) * height
        color, size = _stat_color(defaults["thresholds"]["steps"], value), min(30, height * 0.5)
        text = escape(_stat_text(defaults, value))
        style = f"font-size: {size:.0f}px; fill: {color}"
        parts.append(
            f'<text x="{x:.1f}" y="{y + size * 0.2:.1f}" class="big" style="{style}">{text}</text>'
        )
        if len(values) > 1:
            under = f"{y + size * 0.2 + 14:.1f}"
            parts.append(f'<text x="{x:.1f}" y="{under}" class="name">{escape(name)}</text>')
    return parts


def _stat_color(steps: list[dict[str, Any]], value: float) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return _COLORS[reached[-1]]


def _stat_text(defaults: dict[str, Any], value: float) -> str:
    names = {k: v["text"] for it in defaults["mappings"] for k, v in it["options"].items()}
    return names.get(f"{value:g}") or show(value, defaults["unit"], defaults.get("decimals"))


def show(value: float, unit: str, decimals: int | None = None) -> str:
    """A value as Grafana shows it in that unit."""
    if unit == "percentunit":
        return f"{value * 100:.{decimals or 0}f} %"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "s":
        sizes = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0, "ms"))
        size, name = next(each for each in sizes if abs(value) >= each[0])
        return f"{value / (size or 0.001):.3g} {name}"
    number = f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"
    return f"{number}/s" if unit in {"reqps", "ops"} else number


def draw_graph(panel: dict[str, Any], box: Box, source: Source) -> list[str]:
    """Lines over the span, with the panel's own unit, bounds and threshold."""
    drawn = [
        (_legend(target, series), [(float(t), float(v)) for t, v in series["values"]])
        for target in panel["targets"]
        for series in source.over(target["expr"])
    ]
    defaults = panel["fieldConfig"]["defaults"]
    plot = Box(box.x + 50, box.y + 30, box.w - 62, box.h - 30 - 18 - 15 * _legend_lines(drawn, box))
    highest = max((v for _, points in drawn for _, v in points if math.isfinite(v)), default=0)
    size = 2**20 if defaults["unit"] == "bytes" else 1
    top = defaults.get("max") or _round_up(highest / size or 0.95) * size
    parts = [*_frame(panel, box), *_axes(plot, source, top, defaults["unit"])]
    if defaults["custom"]["thresholdsStyle"]["mode"] == "line":
        for step in defaults["thresholds"]["steps"]:
            if step["value"] is not None and step["value"] <= top:
                y, color = plot.y + plot.h * (1 - step["value"] / top), _COLORS[step["color"]]
                end = f'x2="{plot.x + plot.w:.1f}" y2="{y:.1f}"'
                begin = f'x1="{plot.x:.1f}" y1="{y:.1f}"'
                parts.append(f'<line {begin} {end} class="limit" stroke="{color}"/>')
    for number, (name, points) in enumerate(drawn):
        color = _fixed_color(panel, name) or _PALETTE[number % len(_PALETTE)]
        for piece in _pieces(points, (source.end - source.start) / _POINTS):
            path = " ".join(
                f"{plot.x + plot.w * (t - source.start) / (source.end - source.start):.1f},"
                f"{plot.y + plot.h * (1 - min(v, top) / top):.1f}"
                for t, v in piece
            )
            parts.append(f'<polyline points="{path}" class="line" stroke="{color}"/>')
    return [*parts, *_names(panel, drawn, box)]


def _pieces(points: list[tuple[float, float]], step: float) -> list[list[tuple[float, float]]]:
    """Where there is no value, the line is broken."""
    pieces, last = list[list[tuple[float, float]]](), -math.inf
    for t, v in (each for each in points if math.isfinite(each[1])):
        if t - last > 1.5 * step:
            pieces.append([])
        pieces[-1].append((t, v))
        last = t
    return pieces


def _fixed_color(panel: dict[str, Any], name: str) -> str | None:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == name:
            return _COLORS[override["properties"][0]["value"]["fixedColor"]]
    return None


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 4, 5, 8 and 10 times a power of ten."""
    power = 10 ** math.floor(math.log10(value * 1.05))
    return next(m * power for m in (1, 2, 2.5, 4, 5, 8, 10) if m * power >= value * 1.05)


def _axes(plot: Box, source: Source, top: float, unit: str) -> list[str]:
    parts: list[str] = []
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        y = plot.y + plot.h * (1 - part)
        begin, end = f'x1="{plot.x:.1f}" y1="{y:.1f}"', f'x2="{plot.x + plot.w:.1f}" y2="{y:.1f}"'
        label, at = escape(show(top * part, unit)), f'x="{plot.x - 5:.1f}" y="{y + 3.5:.1f}"'
        parts.append(f'<line {begin} {end} class="grid"/>')
        parts.append(f'<text {at} class="axis" text-anchor="end">{label}</text>')
        minutes = round((source.end - source.start) * part / 60, 1)
        at = f'x="{plot.x + plot.w * part:.1f}" y="{plot.y + plot.h + 13:.1f}"'
        parts.append(f'<text {at} class="axis" text-anchor="{anchor}">{minutes:g} min</text>')
    return parts


def _places(drawn: list[tuple[str, Any]], box: Box) -> list[tuple[str, float, int]]:
    """Each name with its place: from the left, and in which line."""
    places, x, line = list[tuple[str, float, int]](), 12.0, 0
    for name, _ in drawn:
        width = 22 + 5.9 * len(name)
        if x + width > box.w and x > 12:  # noqa: PLR2004 (the left edge)
            x, line = 12.0, line + 1
        places.append((name, x, line))
        x += width
    return places


def _legend_lines(drawn: list[tuple[str, Any]], box: Box) -> int:
    return max((line for _, _, line in _places(drawn, box)), default=0) + 1


def _names(panel: dict[str, Any], drawn: list[tuple[str, Any]], box: Box) -> list[str]:
    parts: list[str] = []
    bottom = box.y + box.h - 15 * _legend_lines(drawn, box) + 8
    for number, (name, x, line) in enumerate(_places(drawn, box)):
        color = _fixed_color(panel, name) or _PALETTE[number % len(_PALETTE)]
        y = bottom + 15 * line
        mark = f'x="{box.x + x:.1f}" y="{y - 5:.1f}" width="12" height="3"'
        parts.append(f'<rect {mark} fill="{color}"/>')
        parts.append(f'<text x="{box.x + x + 16:.1f}" y="{y:.1f}">{escape(name)}</text>')
    return parts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus", help="its address")
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--window", default="2m", help="of rates; four scrapes at least")
    arguments = parser.parse_args()
    end = time.time()
    with httpx.Client(base_url=arguments.prometheus, timeout=30) as http:
        start = end - arguments.minutes * 60
        source = Source(http=http, start=start, end=end, window=arguments.window)
        sys.stdout.write(draw(json.loads(FILE.read_text()), source, "Drawn from its data."))


if __name__ == "__main__":
    main()
