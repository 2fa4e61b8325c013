import { Draws } from "../../eval/draws.ts";
import { paretoFront, type Tradeoff } from "../../eval/pareto.ts";
import { assertEquals, test } from "../harness.ts";

// The definition, point against point.
function beaten({ cost, loss }: Tradeoff, other: Tradeoff): boolean {
  return other.cost <= cost && other.loss <= loss && (other.cost < cost || other.loss < loss);
}

test("paretoFront() is what no other point beats, on grids with many equal values", () => {
  const draws = new Draws(1);
  for (let round = 0; round < 300; round++) {
    const values = 1 + round % 12;
    const points = Array.from({ length: round % 40 }, () => ({
      cost: draws.below(values),
      loss: draws.below(values),
    }));
    const plain = [...points.keys()].filter((index) =>
      !points.some((other) => beaten(points[index], other))
    );
    assertEquals(paretoFront(points).toSorted((a, b) => a - b), plain);
  }
});

test("paretoFront() goes by rising cost, and keeps equal points in their order", () => {
  const points = [[3, 1], [1, 3], [2, 2], [1, 3], [2, 3]].map(([cost, loss]) => ({ cost, loss }));
  assertEquals(paretoFront(points), [1, 3, 2, 0]);
});

test("paretoFront() leaves out what is not finite, and is empty of nothing", () => {
  const points = [{ cost: NaN, loss: 0 }, { cost: 1, loss: Infinity }, { cost: 2, loss: 2 }];
  assertEquals(paretoFront(points), [2]);
  assertEquals(paretoFront([]), []);
});
