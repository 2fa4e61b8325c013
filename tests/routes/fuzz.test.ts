import { test } from "../harness.ts";
import { fuzz } from "./fuzz.ts";

test("2,000 requests at random break nothing, and are refused in the one shape", () =>
  fuzz(2000, 20));
