// support.ts - what the tests of chat share: a template for the shipped model, which was never
// taught to converse, and chats with all of their input given at once.
import { command, type Ended, Folder, needle } from "../command.ts";

/** A template that later turns leave as it was, so that a turn reads only what is new. */
export const template = `{% for m in messages %}{% if m.role == 'tool' %}` +
  `{{ raise_exception('No tools here') }}{% endif %}{{ m.role }}:{{ m.content }}\n{% endfor %}` +
  `{% if add_generation_prompt %}assistant:{% endif %}`;

/** What the template makes of turns, the user's first. */
export function textOf(...turns: readonly string[]): string {
  const said = turns.map((turn, at) => `${at % 2 === 0 ? "user" : "assistant"}:${turn}\n`);
  return `${said.join("")}assistant:`;
}

/**
 * Flags of a chat with the shipped model, beside those given; the profile is not measured again in
 * another home.
 */
export function chatArgs(folder: Folder, ...flags: readonly string[]): string[] {
  const file = folder.file("template", template);
  const own = [["--model", needle], ["--chat-template", file], ["--profile", "none"]]
    .filter(([name]) => !flags.some((flag) => flag === name || flag.startsWith(`${name}=`)));
  return ["chat", ...own.flat(), ...flags];
}

/** A chat whose lines come from a pipe. */
export async function chatOf(
  lines: readonly string[],
  ...flags: readonly string[]
): Promise<Ended> {
  using folder = new Folder();
  const input = lines.map((line) => `${line}\n`).join("");
  return await command(chatArgs(folder, ...flags), undefined, input);
}
