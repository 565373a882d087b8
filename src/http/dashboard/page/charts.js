// Charts over time, by uPlot (vendor/), which is loaded when the first one is shown.

import { cssColor } from "./dom.js";

let library = null;
const charts = new Set();

async function load() {
  library ??= import("./uPlot.esm.js");
  return (await library).default;
}

/** A chart of some lines over seconds; changes of leader are dashed verticals with a name. */
export class TimeChart {
  /** @param {{label, color, fill?}[]} lines `color` is a custom property such as `--good`. */
  constructor(place, { lines, unit, height = 160, floor = 1 }) {
    Object.assign(this, { place, lines, unit, height, floor, marks: [] });
    this.clear();
    charts.add(this);
  }

  /** @param {{label, color}[]} lines others than before, such as for other nodes. */
  setLines(lines) {
    if (lines.map((line) => line.label).join() === this.lines.map((line) => line.label).join()) return;
    this.lines = lines;
    this.clear();
    this.remake();
  }

  clear() {
    this.data = [[], ...this.lines.map(() => [])];
    this.marks = [];
    this.plot?.setData(this.data);
  }

  add(t_s, values) {
    this.data[0].push(t_s);
    values.forEach((value, i) => this.data[i + 1].push(value ?? null));
  }

  mark(t_s, name) {
    this.marks.push({ t_s, name });
  }

  async show() {
    if (!this.plot) await this.make();
    this.plot?.setData(this.data);
  }

  remake() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.show();
  }

  async make() {
    const UPlot = await load();
    if (this.plot || !this.place.clientWidth) return;
    const axis = { stroke: cssColor("--quiet"), grid: { stroke: cssColor("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new UPlot(
      {
        width: this.place.clientWidth,
        height: this.height,
        padding: [14, 18, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        legend: { live: true },
        scales: { x: { time: false, range: (_, min, max) => [0, Math.max(10, max ?? 10)] }, y: { range: (_, min, max) => [0, Math.max(this.floor, (max ?? 0) * 1.12)] } },
        series: [
          { label: "at", value: (_, t_s) => (t_s === null ? "–" : `${t_s.toFixed(1)} s`) },
          ...this.lines.map(({ label, color, fill }) => ({
            label,
            stroke: cssColor(color),
            fill: fill ? cssColor(color, 0.13) : undefined,
            width: 1.6,
            points: { show: false },
            value: (_, value) => (value === null || value === undefined ? "–" : `${value >= 100 ? Math.round(value) : value.toFixed(1)}${this.unit}`),
          })),
        ],
        axes: [
          { ...axis, size: 28, values: (_, ticks) => ticks.map((tick) => `${tick} s`) },
          { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => `${tick}${this.unit}`) },
        ],
        hooks: { draw: [(plot) => this.drawMarks(plot)] },
      },
      this.data,
      this.place,
    );
  }

  drawMarks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = cssColor("--accent");
    ctx.fillStyle = cssColor("--accent");
    ctx.lineWidth = devicePixelRatio;
    ctx.font = `600 ${11 * devicePixelRatio}px system-ui, sans-serif`;
    for (const { t_s, name } of this.marks) {
      const x = Math.round(plot.valToPos(t_s, "x", true));
      ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const right = x + 60 * devicePixelRatio > bbox.left + bbox.width;
      ctx.textAlign = right ? "right" : "left";
      ctx.fillText(name, x + (right ? -4 : 4) * devicePixelRatio, bbox.top + 9 * devicePixelRatio);
    }
    ctx.restore();
  }
}

function fit() {
  for (const chart of charts) {
    const width = chart.place.clientWidth;
    if (chart.plot && width && chart.plot.width !== width) chart.plot.setSize({ width, height: chart.height });
  }
}

addEventListener("resize", fit);
const remakeAll = () => charts.forEach((chart) => chart.remake());
document.documentElement.addEventListener("themechange", remakeAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", remakeAll);
