// Where and why a text is not JSON: a scanner of RFC 8259, run only when JSON.parse() has refused the text.
//
// JSON.parse() describes a fault in words that change with its version and often without a position.
// The scanner is one state machine with an explicit stack, so that no nesting can exhaust the call stack.

type State = 'value' | 'first item' | 'first key' | 'key' | 'colon' | 'after value';

/** Fault at an offset of the text. */
interface Fault {
  readonly offset: number;
  readonly problem: string;
}

const WHITE_SPACE = /[ \t\n\r]*/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Say in one line why a text is not JSON, with line and column (both from 1); columns count UTF-16 units. */
export function describeJsonFault(text: string): string {
  if (text.startsWith('\uFEFF')) return 'starts with a UTF-8 byte order mark, which JSON does not allow';
  const fault = findFault(text);
  if (fault === undefined) return 'not valid JSON';
  if (fault.offset >= text.length) return fault.problem;
  const before = text.slice(0, fault.offset).split('\n');
  return `${fault.problem} at line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`;
}

function findFault(text: string): Fault | undefined {
  const open: ('{' | '[')[] = [];
  let state = 'value' as State;
  let offset = skip(WHITE_SPACE, text, 0);
  for (; offset < text.length; offset = skip(WHITE_SPACE, text, offset)) {
    const character = text[offset];
    const container = open.at(-1);
    if (state === 'after value') {
      if (container === undefined) return unexpected(text, offset, 'nothing after the end of the JSON value');
      if (character === (container === '{' ? '}' : ']')) open.pop();
      else if (character === ',') state = container === '{' ? 'key' : 'value';
      else return unexpected(text, offset, container === '{' ? '"," or "}"' : '"," or "]"');
      offset++;
    } else if (state === 'colon') {
      if (character !== ':') return unexpected(text, offset, '":"');
      state = 'value';
      offset++;
    } else if ((state === 'first key' && character === '}') || (state === 'first item' && character === ']')) {
      open.pop();
      state = 'after value';
      offset++;
    } else if (character === '"') {
      const end = scanString(text, offset);
      if (typeof end !== 'number') return end;
      state = state === 'key' || state === 'first key' ? 'colon' : 'after value';
      offset = end;
    } else if (state === 'key' || state === 'first key') {
      return unexpected(text, offset, state === 'key' ? 'a key in double quotes' : 'a key in double quotes or "}"');
    } else if (character === '{' || character === '[') {
      open.push(character);
      state = character === '{' ? 'first key' : 'first item';
      offset++;
    } else {
      const end = skip(SCALAR, text, offset);
      if (end === offset) return unexpected(text, offset, 'a value');
      state = 'after value';
      offset = end;
    }
  }
  const isComplete = state === 'after value' && open.length === 0;
  return isComplete ? undefined : { offset, problem: 'unexpected end of JSON input' };
}

/** Offset after what the sticky pattern matches at `offset`; `offset` itself when it does not match there. */
function skip(pattern: RegExp, text: string, offset: number): number {
  pattern.lastIndex = offset;
  return pattern.test(text) ? pattern.lastIndex : offset;
}

/** Offset after the closing quote of the string whose opening quote is at `start`. */
function scanString(text: string, start: number): number | Fault {
  for (let offset = start + 1; offset < text.length; ) {
    const character = text[offset] ?? '';
    if (character === '"') return offset + 1;
    if (character < ' ') return { offset, problem: 'unescaped line break or control character in a string' };
    if (character !== '\\') {
      offset++;
      continue;
    }
    const end = skip(ESCAPE, text, offset);
    if (end === offset) return { offset, problem: 'unknown escape in a string' };
    offset = end;
  }
  return { offset: start, problem: 'string without a closing quote' };
}

function unexpected(text: string, offset: number, expected: string): Fault {
  const character = String.fromCodePoint(text.codePointAt(offset) ?? 0);
  return { offset, problem: `unexpected ${JSON.stringify(character)}, expected ${expected},` };
}
