"""A line chart as SVG."""

from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 360, 60, 40, 40
COLOURS = ("#1a73e8", "#d93025", "#188038", "#f9ab00", "#9334e6")

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
