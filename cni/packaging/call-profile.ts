// Which functions of the bundle a call of a runtime runs: these V8 compiles when the executable is built, and no others.
// Every start reads all that is in the snapshot, so a function that is compiled there and never called makes it longer,
// and one that is called and not compiled there is parsed again, in the middle of an ADD.
//
// The profile (call-profile.txt) has a name a line, as write-call-profile.ts has seen them. A function that is missing in
// it, or is there no more, makes a call a little slower and nothing else.

import { type AnyNode, parse } from 'acorn';

export interface FunctionPlace {
  /** The names of the functions and classes around it, and its own: `Address4.parse`, `kernelRoutes`. */
  readonly name: string;
  /** Offsets in the script, of the first character and behind the last one. */
  readonly start: number;
  readonly end: number;
}

/**
 * All functions of a script, in the order in which they begin. One without a name belongs to the one around it, and has
 * its name; one that is in none has an empty name.
 */
export function findFunctions(script: string): FunctionPlace[] {
  const places: FunctionPlace[] = [];
  visit(parse(script, { ecmaVersion: 'latest', sourceType: 'script' }), [], '', places);
  return places.sort((a, b) => a.start - b.start);
}

/** The functions of a script that are in a profile. */
export function selectProfiled(script: string, profile: string): FunctionPlace[] {
  const names = new Set(profile.split('\n').filter((line) => line !== '' && !line.startsWith('#')));
  return findFunctions(script).filter(({ name }) => names.has(name));
}

/** `given`: the name that stands before the node, as in `{ name: node }`, `const name = node` and `name = node`. */
function visit(node: AnyNode, path: readonly string[], given: string, places: FunctionPlace[]): void {
  const own = 'id' in node && node.id?.type === 'Identifier' ? node.id.name : given;
  const isFunction = /Function/.test(node.type);
  const inner = own !== '' && (isFunction || /^Class/.test(node.type)) ? [...path, own] : path;
  if (isFunction) places.push({ name: inner.join('.'), start: node.start, end: node.end });
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) visit(child, inner, nameBefore(node, child), places);
    }
  }
}

/** The name that a node gives its part. */
function nameBefore(node: AnyNode, child: AnyNode): string {
  switch (node.type) {
    case 'MethodDefinition':
    case 'PropertyDefinition':
    case 'Property':
      return child === node.value && !node.computed && 'name' in node.key ? node.key.name : '';
    case 'VariableDeclarator':
      return child === node.init && node.id.type === 'Identifier' ? node.id.name : '';
    case 'AssignmentExpression':
    case 'AssignmentPattern':
      return child === node.right && node.left.type === 'Identifier' ? node.left.name : '';
    default:
      return '';
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}
