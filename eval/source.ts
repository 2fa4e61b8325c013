// source.ts - what recall tasks for the shipped needle model are made of.

import { describeModel } from "../engine/model/describe.ts";
import { loadTokenizer, type Tokenizer } from "../engine/model/tokenizer.ts";
import { SpecacheError } from "../engine/errors.ts";
import { type NeedleSource, needleSource } from "./needle.ts";
import { checkoutPath } from "./checkout.ts";
import { longText } from "./text.ts";

/** Folder of the shipped model. */
export const needleModel: string = checkoutPath("models/needle", "read the shipped model");

/** Reads the needle model's tokenizer and the shipped text. */
export async function shippedSource(): Promise<NeedleSource> {
  return needleSource(tokenizerOf(needleModel), await longText(), 0);
}

/** The tokenizer of a model that must have one. */
export function tokenizerOf(model: string): Tokenizer {
  const tokenizer = loadTokenizer(model, describeModel(model));
  if (tokenizer !== null) return tokenizer;
  throw new SpecacheError("file", `Cannot make a recall task: model ${model} has no tokenizer`, {
    details: { model },
  });
}
