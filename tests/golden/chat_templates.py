# Writes chat_templates.json: templates of our own in the ways that models write theirs, and what
# Python's jinja2 makes of them, set up as transformers' apply_chat_template sets it up (its
# utils/chat_template_utils.py). Run: python3 tests/golden/chat_templates.py (jinja2 3.1).
import json
import os
import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


def render(template, messages, tokens, answers):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    env.globals["raise_exception"] = raise_exception
    env.filters["tojson"] = lambda x, **k: json.dumps(x, ensure_ascii=False)
    try:
        return {
            "text": env.from_string(template).render(
                messages=messages, tools=None, documents=None, add_generation_prompt=answers, **tokens
            )
        }
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error)}


TEMPLATES = {
    # A default system turn before a conversation that has none.
    "default system": """{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\nBe of help.<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
    # Turns must alternate; the system's text goes into the first user's turn.
    "alternating": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}{% for m in loop_messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Turns of user and assistant must alternate') }}{% endif %}{% if loop.index0 == 0 and system != false %}{% set content = '<<S>>\n' + system + '\n<</S>>\n\n' + m['content'] %}{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}{{ '[U] ' + content.strip() + ' [/U]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    # Written over lines: trim_blocks, lstrip_blocks and - decide what is left of them.
    "lines": """{%- if tools is not none %}
    {{- 'tools' }}
{%- endif %}
{%- if not date is defined %}
    {%- set date = "today" %}
{%- endif %}
{{- bos_token }}
{% for message in messages %}
    {% if message.role == "system" %}
<system {{ date }}>
{{ message.content | trim }}
    {% else %}
<{{ message.role }}>{{ message.content }}</{{ message.role }}>
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
<assistant>
{%- endif %}""",
    # Namespaces, macros, filters, string methods, slices, and loop controls of indices.
    "functions": """{%- macro turn(role, content) -%}
<{{ role | upper }}>{{ content }}<end>
{%- endmacro -%}
{%- set ns = namespace(users=0, last=-1) -%}
{%- for m in messages[::-1] -%}
  {%- if ns.last == -1 and m.role == 'user' -%}{%- set ns.last = messages | length - 1 - loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
  {%- if m['role'] == 'user' -%}{%- set ns.users = ns.users + 1 -%}{%- endif -%}
  {%- if m['role'] == 'assistant' and '</think>' in m['content'] -%}
    {%- set content = m['content'].split('</think>')[-1].lstrip('\n') -%}
  {%- else -%}
    {%- set content = m['content'] -%}
  {%- endif -%}
  {{- turn(m['role'], content) -}}
  {%- if loop.index0 == ns.last -%}{{- '*' -}}{%- endif -%}
{%- endfor -%}
{{- 'users ' ~ ns.users ~ (' of ' + (messages | map(attribute='role') | join(','))) -}}
{{- messages[-1].content | tojson -}}
{%- if add_generation_prompt -%}{{- '<ASSISTANT>' -}}{%- endif -%}""",
    "undefined tokens": """{{ bos_token }}|{{ sep_token }}|{% if unk_token is defined %}{{ unk_token }}{% else %}none{% endif %}|{{ eos_token }}""",
}

SYSTEM = {"role": "system", "content": "Speak \"plainly\".  \n"}
USER = {"role": "user", "content": " Grüße, 東京 👩‍👧!\n\n\tTwo lines {{ not }} {% a %} template "}
ANSWER = {"role": "assistant", "content": "<think>So.</think>\n\nYes \\ no"}
MORE = {"role": "user", "content": "And?"}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

CONVERSATIONS = [
    [USER],
    [SYSTEM, USER],
    [USER, ANSWER, MORE],
    [SYSTEM, USER, ANSWER, MORE],
    [USER, MORE],
    [ANSWER],
    [SYSTEM, {"role": "tool", "content": "<b>&amp;'\"</b>"}],
]

rows = [
    {"name": name, "template": template, "messages": messages, "tokens": TOKENS, "answers": answers,
     **render(template, messages, TOKENS, answers)}
    for name, template in TEMPLATES.items()
    for messages in CONVERSATIONS
    for answers in ([True, False] if messages is CONVERSATIONS[3] else [True])
]
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_templates.json")
with open(path, "w", encoding="utf8") as file:
    json.dump(rows, file, ensure_ascii=False, indent=1)
    file.write("\n")
