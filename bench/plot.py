"""Charts as SVG."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 360, 60, 40, 40
COLOURS = ("#1a73e8", "#d93025", "#188038", "#f9ab00", "#9334e6")

FRAME_HEIGHT, LETTER_WIDTH = 17, 6.7
# What takes a smaller share of all samples is too narrow to be seen.
LEAST_SHARE = 0.0007
WARM = ("#f9c784", "#f4a259", "#f7b267", "#f2b5a0", "#f6d186")

Line = list[tuple[float, float]]


def draw(path: Path, title: str, x_label: str, lines: dict[str, Line]) -> None:
    """Writes one line for each name; both axes begin at 0."""
    right = max(x for line in lines.values() for x, _ in line) or 1.0
    top = max(y for line in lines.values() for _, y in line) or 1.0
    plot_width, plot_height = WIDTH - LEFT - 20, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> str:
        return f"{LEFT + x / right * plot_width:.1f},{TOP + (1 - y / top) * plot_height:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
        f'<polyline fill="none" stroke="#888" points="{place(0, top)} {place(0, 0)} {place(right, 0)}"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{top:,.0f}</text>',
        f'<text x="{WIDTH - 20}" y="{HEIGHT - 22}" text-anchor="end">{right:,.0f} {x_label}</text>',
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        parts.append(f'<text x="{LEFT + 12}" y="{TOP + 16 + 16 * number}" fill="{colour}">{name}</text>')
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def bars(path: Path, title: str, groups: dict[str, dict[str, float]]) -> None:
    """Writes a group of bars for each name, with the same members in each; the axis begins at 0."""
    names = list(next(iter(groups.values())))
    top = max(value for group in groups.values() for value in group.values()) or 1.0
    plot_width, plot_height = WIDTH - LEFT - 20, HEIGHT - TOP - BOTTOM - 16 * len(names)
    bottom = TOP + 16 * len(names) + plot_height
    width = plot_width / len(groups) / (len(names) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{title}</text>',
    ]
    for number, name in enumerate(names):
        parts.append(f'<text x="{LEFT}" y="{TOP + 16 * number}" fill="{COLOURS[number % len(COLOURS)]}">{name}</text>')
    for place, (group, values) in enumerate(groups.items()):
        left = LEFT + place * width * (len(names) + 1)
        parts.append(f'<text x="{left:.1f}" y="{bottom + 18}">{group}</text>')
        for number, value in enumerate(values.values()):
            x, height = left + number * width, value / top * plot_height
            colour = COLOURS[number % len(COLOURS)]
            box = f'x="{x:.1f}" y="{bottom - height:.1f}" width="{width - 2:.1f}" height="{height:.1f}"'
            parts.append(f'<rect {box} fill="{colour}"/>')
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{bottom - height - 4:.1f}" text-anchor="middle">{value:.1f}</text>'
            )
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def flame(path: Path, title: str, stacks: Mapping[tuple[str, ...], int]) -> None:
    """Writes a flame graph of samples by stack, the outermost frame first; a frame's whole name shows on hovering."""
    total, width = sum(stacks.values()), 1200
    frames: list[tuple[int, int, int, str]] = []

    def place(prefix: int, depth: int, below: Mapping[tuple[str, ...], int]) -> None:
        groups: dict[str, dict[tuple[str, ...], int]] = {}
        for stack, samples in sorted(below.items()):
            if len(stack) > depth:
                groups.setdefault(stack[depth], {})[stack] = samples
        for name, group in groups.items():
            samples = sum(group.values())
            if samples / total >= LEAST_SHARE:
                frames.append((prefix, depth, samples, name))
                place(prefix, depth + 1, group)
            prefix += samples

    place(0, 0, stacks)
    height = TOP + FRAME_HEIGHT * (1 + max((depth for _, depth, _, _ in frames), default=0)) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        ' font-family="monospace" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{escape(title)}</text>',
    ]
    for start, depth, samples, name in frames:
        x, wide = start / total * width, samples / total * width
        y = height - 10 - FRAME_HEIGHT * (depth + 1)
        shown = escape(name[: int(wide / LETTER_WIDTH)]) if wide > 3 * LETTER_WIDTH else ""
        parts.append(
            f"<g><title>{escape(name)}: {samples / total:.1%}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(wide - 0.5, 0.3):.1f}" height="{FRAME_HEIGHT - 1}"'
            f' fill="{WARM[sum(map(ord, name)) % len(WARM)]}"/>'
            f'<text x="{x + 2:.1f}" y="{y + 12}">{shown}</text></g>'
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")
