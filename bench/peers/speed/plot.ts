// plot.ts - attention's time against length, ours and rivals'.
import { LineChart } from "echarts/charts";
import { TitleComponent } from "echarts/components";
import { type EChartsCoreOption, use } from "echarts/core";
import { svgOf } from "../../../eval/report/svg.ts";
import { quantile } from "../../../eval/statistics.ts";
import type { AttentionRow } from "./attention.ts";

use([LineChart, TitleComponent]);

const WIDTH = 720;
const HEIGHT = 420;
const INK = "#333333"; // a file of its own has no style that could say
const LINE = "#dddddd";
const TITLE = "Decode attention of one layer, ms";
const COLORS = ["#1f5fa8", "#5b9bd5", "#c23b22", "#e08e79", "#3d8b4f", "#9ccfa8"];

/** The plot as one SVG file; of several settings of ours, the first one's. */
export function attentionPlot(rows: readonly AttentionRow[]): string {
  const shown = rows.filter(({ setting }) => setting === rows[0].setting);
  const svg = svgOf({
    title: TITLE,
    description: "Milliseconds against tokens, ours and rivals",
    height: HEIGHT,
    option: () => option(shown),
  }, WIDTH);
  return `${svg}\n`;
}

function option(rows: readonly AttentionRow[]): EChartsCoreOption {
  const text = { color: INK, fontSize: 12 };
  const line = { lineStyle: { color: INK } };
  const axis = { axisLabel: text, nameTextStyle: text, axisLine: line, axisTick: line };
  const split = { splitLine: { show: true, lineStyle: { color: LINE } } };
  const names = rows[0]?.times.map(({ name }) => name) ?? [];
  return {
    backgroundColor: "#ffffff",
    title: [
      { text: TITLE, left: 12, top: 8, textStyle: { ...text, fontSize: 14 } },
      ...names.map((name, at) => ({
        ...{ text: name, left: 30 + at * 116, top: 34 },
        textStyle: { ...text, color: COLORS[at % COLORS.length] },
      })),
    ],
    grid: { left: 62, right: 24, top: 66, bottom: 50 },
    xAxis: {
      ...{ ...axis, ...split, type: "log", logBase: 2, name: "tokens" },
      ...{ min: "dataMin", max: "dataMax", nameLocation: "middle", nameGap: 28 },
      axisLabel: { ...text, formatter: (x: number) => `${x / 1024}K` },
    },
    yAxis: { ...axis, ...split, type: "log" },
    series: names.map((name, at) => ({
      ...{ type: "line", name, symbolSize: 5 },
      data: rows.map(({ tokens, times }) => [tokens, quantile(times[at].ms, 0.5)]),
      lineStyle: { color: COLORS[at % COLORS.length], width: 2 },
      itemStyle: { color: COLORS[at % COLORS.length] },
    })),
  };
}
