// chat.ts - ChatML prompts of an exact number of tokens.
import { stretch, type Task, type TaskSource } from "./document.ts";
import { Draws } from "../draws.ts";

/** What stands around a document in a prompt. */
export interface ChatParts {
  /** Of the user's turn, before the document and behind it. */
  readonly before: string;
  readonly after: string;
  /** The beginning of the answer. */
  readonly answer: string;
}

const SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

/** The prompt's ids, `tokens` of them; `body` makes the document, of the room it is told. */
export function chat(
  { codec, bos }: TaskSource,
  { before, after, answer }: ChatParts,
  tokens: number,
  body: (room: number) => readonly number[],
): number[] {
  const head = [
    ...codec.encode(`<|im_start|>system\n${SYSTEM}<|im_end|>\n<|im_start|>user\n${before}`),
  ];
  const tail = codec.encode(`${after}<|im_end|>\n<|im_start|>assistant\n${answer}`);
  if (bos !== null && head[0] !== bos) head.unshift(bos);
  return [...head, ...body(tokens - head.length - tail.length), ...tail];
}

function about(task: string, parts: ChatParts): Task {
  return (source, { seed, tokens }) => {
    const at = new Draws(seed).chance();
    const ids = chat(source, parts, tokens, (room) => stretch(source.text, room, at, task));
    return { task, seed, ids, answers: null, answerTokens: 0, depth: null };
  };
}

/** A question about a whole text. */
export const question: Task = about("question", {
  before: "Read this text.\n\n",
  after: "\n\nWhat does the speaker say about money and debts in the text above?",
  answer: "",
});

/** A summary of a text. */
export const summary: Task = about("summary", {
  before: "Summarize the following text.\n\n",
  after: "\n\nWrite a summary of the text above in five sentences.",
  answer: "",
});

const TURN_TOKENS = 300; // of text in a turn, about

/** Turns about one piece of text after another, the last one unanswered. */
export const turns: Task = (source, { seed, tokens }) => {
  const draws = new Draws(seed);
  const starts = Array.from({ length: Math.ceil(tokens / TURN_TOKENS) }, () => draws.chance());
  const between = source.codec.encode(
    "\nWhat is this about?<|im_end|>\n<|im_start|>assistant\nIt is a part of a speech about " +
      "the affairs of the country.<|im_end|>\n<|im_start|>user\nAnd this?\n\n",
  );
  const parts = {
    before: "I will show you pieces of a long speech, one after another.\n\n",
    after: "\nWhich of the pieces so far belong together, and why?",
    answer: "",
  };
  const ids = chat(source, parts, tokens, (room) => {
    const body: number[] = [];
    for (const start of starts) {
      const left = room - body.length;
      const last = left < 2 * TURN_TOKENS + between.length;
      body.push(...stretch(source.text, last ? left : TURN_TOKENS, start, "chat"));
      if (last) break;
      body.push(...between);
    }
    return body;
  });
  return { task: "chat", seed, ids, answers: null, answerTokens: 0, depth: null };
};
