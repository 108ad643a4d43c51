"""Draw the loss curves of a run as SVG, with the standard library alone.

    python plot.py loss.csv loss.svg
"""

import csv
import math
import pathlib
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 56, 28, 132, 44
COLORS = {"train": "#24292f", "val_prose": "#cf222e", "val_std": "#0969da", "val_code": "#8250df", "val_chat": "#1a7f37"}


def main():
    rows = list(csv.DictReader(open(sys.argv[1])))
    steps = [int(row["step"]) for row in rows]
    series = {name: [float(row[name]) for row in rows] for name in COLORS}
    low = math.floor(min(map(min, series.values())) * 2) / 2
    high = math.ceil(max(map(max, series.values())) * 2) / 2
    x = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / steps[-1]
    y = lambda loss: TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           f'<text x="{LEFT}" y="16">cross entropy (nats a token) by step; each train point averages the steps since the last</text>']
    for i in range(int((high - low) * 2) + 1):
        loss = low + i / 2
        out.append(f'<path d="M{LEFT} {y(loss):.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>'
                   f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.1f}</text>')
    for step in steps[1::2]:
        out.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    for name, losses in series.items():
        points = " ".join(f"{x(s):.1f},{y(v):.1f}" for s, v in zip(steps, losses))
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLORS[name]}" stroke-width="1.8"/>'
                   f'<text x="{WIDTH - RIGHT + 8}" y="{y(losses[-1]) + 4:.1f}" fill="{COLORS[name]}">{name} {losses[-1]:.2f}</text>')
    pathlib.Path(sys.argv[2]).write_text("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main()
