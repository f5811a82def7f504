// A chart that can be looked into: the server sends the extremes of what is in sight.
import uPlot from "uplot";

const HEIGHT = 260;

export class LineChart extends HTMLElement {
  private chart: uPlot | null = null;
  private asked = 0;

  async connectedCallback(): Promise<void> {
    const whole = await this.points();
    if (!whole || whole[0].length < 2 || !this.isConnected) return;
    const drawn = this.querySelector("svg.chart")?.getBoundingClientRect();
    const width = this.clientWidth || drawn?.width || 800;
    const place = document.createElement("div");
    place.className = "drawn";
    this.replaceChildren(place);
    this.chart = new uPlot(this.options(width, drawn?.height || HEIGHT), whole, place);
    new ResizeObserver(() => this.chart?.setSize({ width: this.clientWidth, height: this.chart.height }))
      .observe(this);
  }

  private options(width: number, height: number): uPlot.Options {
    const colour = (name: string) => getComputedStyle(this).getPropertyValue(name).trim();
    const axis = { stroke: () => colour("--quiet"), grid: { stroke: () => colour("--edge"), width: 1 } };
    const name = this.dataset.name ?? "value";
    return {
      width,
      height,
      scales: { x: { time: false } },
      series: [{ label: "step" }, { label: name, stroke: () => colour("--realised"), width: 1.5 }],
      axes: [axis, axis],
      cursor: { drag: { x: true, y: false } },
      hooks: {
        setSelect: [(chart) => void this.look(chart)],
        ready: [(chart) => chart.over.addEventListener("dblclick", () => void this.look(chart, true))],
      },
    };
  }

  private async look(chart: uPlot, all = false): Promise<void> {
    const { left, width } = chart.select;
    if (!all && width < 2) return;
    const range = all ? undefined : ([left, left + width].map((at) => chart.posToVal(at, "x")) as [number, number]);
    const mine = ++this.asked;
    const found = await this.points(range);
    if (!found || mine !== this.asked) return;
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    chart.setData(found, true);
  }

  private async points(range?: [number, number]): Promise<[Float64Array, Float32Array] | null> {
    const source = this.dataset.src;
    if (!source) return null;
    const wide = Math.round((this.clientWidth || 800) * Math.min(devicePixelRatio, 2) * 2);
    const words = `&points=${wide}` + (range ? `&from=${range[0]}&to=${range[1]}` : "");
    const answer = await fetch(source + words).catch(() => null);
    if (!answer?.ok) return null;
    const bytes = await answer.arrayBuffer();
    const count = new DataView(bytes).getUint32(0, true);
    return [new Float64Array(bytes, 8, count), new Float32Array(bytes, 8 + 8 * count, count)];
  }
}
