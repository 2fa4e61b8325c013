import { bytesText } from "../../cli/output.ts";
import { shareText, table } from "../../eval/table.ts";
import { assertEquals, test } from "../harness.ts";

test("table() pads columns: the first to the left, the others to the right", () => {
  const lines = table([["mode", "near"], ["full", "10"], ["specache", "9"]]).split("\n");
  assertEquals(lines, ["mode       near", "---------------", "full         10", "specache      9"]);
});

test("bytesText() gives three digits and a unit", () => {
  assertEquals(bytesText(0), "0 B");
  assertEquals(bytesText(999), "999 B");
  assertEquals(bytesText(1000), "0.977 KiB");
  assertEquals(bytesText(4 * 1024 * 1024), "4.00 MiB");
  assertEquals(bytesText(3.5 * 1024 ** 3), "3.50 GiB");
});

test("shareText() rounds to percent and has a dash for nothing of nothing", () => {
  assertEquals(shareText(2, 3), "67 %");
  assertEquals(shareText(0, 0), "-");
});
