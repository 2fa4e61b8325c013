// plot.ts - the modelled time of a step against the length, two machines beside each other.
import { LineChart } from "echarts/charts";
import { TitleComponent } from "echarts/components";
import { type EChartsCoreOption, use } from "echarts/core";
import { svgOf } from "../../eval/report/svg.ts";
import { settings } from "./bytes.ts";
import { type Machine, machines } from "./machines.ts";
import { type Instructions, measuredFetch, modelStep, weights16 } from "./model.ts";

use([LineChart, TitleComponent]);

const WIDTH = 860;
const HEIGHT = 400;
const INK = "#333333"; // a file of its own has no style that could say
const LINE = "#dddddd";
const TITLE = "Modelled time of a decode step, Llama-3.1-8B, one sequence";
// The names stand in a line, in their colours.
const LOOKS = [
  { name: "dense", color: "#c23b22", left: 470 },
  { name: "least bytes", color: "#3d8b4f", left: 530 },
  { name: "ours, by bytes", color: "#1f5fa8", left: 620 },
  { name: "ours, as written", color: "#5b9bd5", left: 730 },
];
const PANELS = ["RTX 4090", "H100 SXM"];
const LEFT = [62, 486]; // pixels
const PANEL_WIDTH = 330;

/** The plot as one SVG file. */
export function rooflinePlot(instructions: Instructions): string {
  const shown = PANELS.map((name) => machines.find((machine) => machine.name === name)!);
  const svg = svgOf({
    title: TITLE,
    description: "Milliseconds against tokens on two machines; the numbers are in ROOFLINE.md",
    height: HEIGHT,
    option: () => option(shown, instructions),
  }, WIDTH);
  return `${svg}\n`;
}

function option(shown: readonly Machine[], instructions: Instructions): EChartsCoreOption {
  const text = { color: INK, fontSize: 12 };
  const line = { lineStyle: { color: INK } };
  const axis = { axisLabel: text, nameTextStyle: text, axisLine: line, axisTick: line };
  const split = { splitLine: { show: true, lineStyle: { color: LINE } } };
  return {
    backgroundColor: "#ffffff",
    title: [
      { text: TITLE, left: 12, top: 8, textStyle: { ...text, fontSize: 14 } },
      ...LOOKS.map(({ name, color, left }) => ({
        ...{ text: name, left, top: 10, textStyle: { ...text, color } },
      })),
      ...shown.map(({ name }, i) => ({
        ...{ text: `${name}, ms, modelled`, left: LEFT[i], top: 36, textStyle: text },
      })),
    ],
    grid: shown.map((_, i) => ({
      ...{ left: LEFT[i], width: PANEL_WIDTH, top: 62, bottom: 50 },
    })),
    xAxis: shown.map((_, gridIndex) => ({
      ...{ ...axis, ...split, gridIndex, type: "log", logBase: 2, min: 4096, max: 2 ** 20 },
      ...{ name: "tokens", nameLocation: "middle", nameGap: 28 },
      axisLabel: { ...text, hideOverlap: true, formatter: (x: number) => `${x / 1024}K` },
    })),
    yAxis: shown.map((_, gridIndex) => ({
      ...{ ...axis, ...split, gridIndex, type: "log", min: gridIndex === 0 ? 10 : 1, max: 1000 },
    })),
    series: shown.flatMap((machine, at) => linesOf(machine, at, instructions)),
  };
}

function linesOf(machine: Machine, at: number, instructions: Instructions) {
  const steps = Array.from({ length: 33 }, (_, i) => Math.round(4096 * 2 ** (i / 4)))
    .map((tokens) => ({
      tokens,
      step: modelStep({
        ...{ machine, tokens, instructions, weights: weights16, codes: settings.default },
        ...{ batch: 1, inputs: 2, fetch: measuredFetch },
      }),
    }));
  const values = [
    steps.map(({ tokens, step }) => [tokens, step.denseStep, step.denseFits] as const),
    steps.map(({ tokens, step }) => [tokens, step.stepAtLeast, step.fits] as const),
    steps.map(({ tokens, step }) => [tokens, step.step, step.fits] as const),
    steps.map(({ tokens, step }) => [tokens, step.stepAsWritten, step.fits] as const),
  ];
  // Beyond the machine's memory a line is dotted, from its last point within on.
  return LOOKS.flatMap(({ name, color }, i) =>
    [true, false].map((fits) => ({
      ...{ type: "line", name, xAxisIndex: at, yAxisIndex: at, showSymbol: false },
      data: values[i].filter((point, at) =>
        point[2] === fits || (!fits && values[i][at + 1]?.[2] === false)
      )
        .map(([tokens, seconds]) => [tokens, seconds * 1e3]),
      lineStyle: { color, width: 2, type: fits ? "solid" : "dotted" },
    }))
  );
}
