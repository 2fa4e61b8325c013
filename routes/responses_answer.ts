// responses_answer.ts - what is generated, as clients of /v1/responses read it: one object, or
// events that carry it.
import type { GenerateOptions } from "../engine/config_generate.ts";
import type { GenerateResult } from "../engine/generation.ts";
import type { Choice, Part } from "./choice.ts";
import { bodyOf } from "./errors.ts";
import { logprobsOf } from "./logprobs.ts";
import { secondsNow } from "./models.ts";
import type { AnswerParts } from "./parts.ts";
import { Output, type OutputEvent } from "./responses_output.ts";
import { alternativesOf, type ResponseRequest } from "./responses_request.ts";
import { ourUsage, tokensOf } from "./usage.ts";

/** An event, numbered. */
export type ResponseEvent = OutputEvent & { readonly sequence_number: number };

/** Writes the answer to one request. */
export class ResponseWriter {
  readonly #from: Pick<AnswerParts, "engine" | "name">;
  readonly #request: ResponseRequest;
  readonly #seed: number;
  readonly #id = `resp_${crypto.randomUUID()}`;
  readonly #created = secondsNow();
  readonly #output: Output;
  #events = 0;

  /** Nothing is written yet. */
  constructor(
    from: Pick<AnswerParts, "engine" | "name">,
    request: ResponseRequest,
    { seed }: GenerateOptions,
  ) {
    this.#from = from;
    this.#request = request;
    this.#seed = seed!;
    const top = alternativesOf(request);
    this.#output = new Output(({ pieces }: Part) =>
      top === null ? [] : logprobsOf(from.engine, pieces, top)
    );
  }

  /** The events before the first token. */
  *begin(): Generator<ResponseEvent> {
    const response = this.#response("in_progress");
    yield* this.#numbered([
      { type: "response.created", response },
      { type: "response.in_progress", response },
    ]);
  }

  /** The events of a part of the answer. */
  part(part: Part): Generator<ResponseEvent> {
    return this.#numbered(this.#output.part(part));
  }

  /** The events at the end; the last one has the whole answer. */
  *end(choice: Choice, result: GenerateResult): Generator<ResponseEvent> {
    const status = choice.reason(result.stop) === "length" ? "incomplete" : "completed";
    yield* this.#numbered(this.#output.end(status));
    const response = this.#response(status, result);
    yield* this.#numbered([{ type: `response.${status}`, response }]);
  }

  /** The event that tells a failure. */
  failed(error: unknown): Generator<ResponseEvent> {
    const { message, code } = bodyOf(error).error;
    const response = { ...this.#response("failed"), error: { code, message } };
    return this.#numbered([{ type: "response.failed", response }]);
  }

  *#numbered(events: Iterable<OutputEvent>): Generator<ResponseEvent> {
    for (const event of events) yield { ...event, sequence_number: this.#events++ };
  }

  #response(status: string, result?: GenerateResult): object {
    const request = this.#request;
    return {
      id: this.#id,
      object: "response",
      created_at: this.#created,
      status,
      error: null,
      incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
      instructions: request.instructions ?? null,
      max_output_tokens: request.max_output_tokens ?? null,
      metadata: {},
      model: this.#from.name,
      output: status === "in_progress" ? [] : this.#output.items,
      parallel_tool_calls: request.parallel_tool_calls ?? true,
      previous_response_id: null,
      reasoning: { effort: null, summary: null },
      store: false,
      temperature: request.temperature ?? 1,
      text: { format: request.text?.format ?? { type: "text" } },
      tool_choice: request.tool_choice ?? "auto",
      tools: request.tools ?? [],
      top_p: request.top_p ?? 1,
      truncation: "disabled",
      usage: result === undefined ? null : this.#usage(result),
    };
  }

  #usage(result: GenerateResult): object {
    const answers = [{ results: [result], seed: this.#seed }];
    const { prompt, cached, completion } = tokensOf(answers);
    return {
      input_tokens: prompt,
      input_tokens_details: { cached_tokens: cached },
      output_tokens: completion,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: prompt + completion,
      specache: ourUsage(answers),
    };
  }
}
