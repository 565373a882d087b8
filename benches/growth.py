#!/usr/bin/env python3
"""Draws docs/growth.svg from what `make bench-codec` measured last.

    benches/growth.py target/criterion docs/growth.svg

Two log-log plots: the time of an embed over the size of the secret, and over the
pixels of the cover. Prints the same as tables. Needs nothing but Python.
"""

import json
import math
import pathlib
import sys

SECRET = "growth, secret in bytes, 1080p"
COVER = "growth, cover, 50 kB"


def median_ms(folder):
    estimates = json.loads((folder / "new" / "estimates.json").read_text())
    return estimates["median"]["point_estimate"] / 1e6


def by_secret(root):
    folders = [folder for folder in (root / SECRET).iterdir() if folder.name.isdigit()]
    return sorted((int(folder.name), median_ms(folder)) for folder in folders)


def by_pixels(root, kind):
    points = []
    for folder in (root / COVER / kind).iterdir():
        if "x" in folder.name:
            width, height = map(int, folder.name.split("x"))
            points.append((width * height, median_ms(folder)))
    return sorted(points)


def plot(left, title, unit, lines, least, most):
    """One plot of 330 x 250 at `left`; both axes are powers of ten."""
    tens = [math.floor(math.log10(value)) for value in (least[0], least[1])]
    span = [math.ceil(math.log10(value)) - low for value, low in zip(most, tens)]

    def place(point):
        x = left + 60 + (math.log10(point[0]) - tens[0]) / span[0] * 250
        y = 240 - (math.log10(point[1]) - tens[1]) / span[1] * 200
        return f"{x:.1f},{y:.1f}"

    svg = [f'<text x="{left + 185}" y="20" text-anchor="middle" font-weight="bold">{title}</text>']
    for step in range(span[0] + 1):
        x = left + 60 + step / span[0] * 250
        svg.append(f'<path d="M{x:.1f} 40V240" stroke="#ddd"/>')
        svg.append(f'<text x="{x:.1f}" y="256" text-anchor="middle">{10 ** (tens[0] + step):,}</text>')
    for step in range(span[1] + 1):
        y = 240 - step / span[1] * 200
        svg.append(f'<path d="M{left + 60} {y:.1f}h250" stroke="#ddd"/>')
        svg.append(f'<text x="{left + 54}" y="{y + 4:.1f}" text-anchor="end">{10.0 ** (tens[1] + step):g}</text>')
    svg.append(f'<text x="{left + 185}" y="274" text-anchor="middle">{unit}</text>')
    svg.append(f'<text x="{left + 14}" y="140" transform="rotate(-90 {left + 14} 140)" text-anchor="middle">ms</text>')
    for name, colour, points in lines:
        path = " ".join(map(place, points))
        svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x, y = place(point).split(",")
            svg.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        x, y = place(points[-1]).split(",")
        svg.append(f'<text x="{x}" y="{float(y) - 8:.1f}" text-anchor="end" fill="{colour}">{name}</text>')
    return svg


def main():
    root, target = map(pathlib.Path, sys.argv[1:3])
    secrets = by_secret(root)
    cached, extract, new = (by_pixels(root, kind) for kind in ("cached", "extract", "new"))
    for title, points in (("secret, bytes", secrets), ("cover, pixels: cached", cached),
                          ("extract", extract), ("new", new)):
        print(title)
        for size, ms in points:
            print(f"  {size:>10,}  {ms:.3f} ms")
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 285" font-family="sans-serif" font-size="11">',
           '<rect width="720" height="285" fill="white"/>']
    svg += plot(0, "Embed into a cached 1080p cover", "bytes of secret",
                [("lsb", "#06c", secrets)], (100, 0.01), (1_000_000, 10))
    svg += plot(360, "50 kB, by size of the cover", "pixels of the cover",
                [("embed, new cover", "#c40", new), ("extract", "#080", extract), ("embed, cached", "#06c", cached)],
                (100_000, 0.1), (100_000_000, 1000))
    svg.append("</svg>")
    target.write_text("\n".join(svg) + "\n")


main()
