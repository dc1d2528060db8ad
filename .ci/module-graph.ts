// Rules about all files together: no file imports itself by way of others, and what is exported is used elsewhere.

import { dirname, join, normalize } from 'node:path';

/** Sources by path, relative to the project's folder, without comments. */
export type Sources = ReadonlyMap<string, string>;

interface Import {
  readonly target: string;
  /** The names as the target exports them; "*" for all of them. */
  readonly names: readonly string[];
}

/** Say which files import themselves by way of others, one line a cycle. */
export function findCycles(sources: Sources): string[] {
  const edges = new Map(
    Array.from(sources, ([path, code]) => [path, importsOf(path, code).map(({ target }) => target)]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0)
      cycles.push(`${[...trail.slice(start), path].join(' imports ')}: move what both need to a third file`);
    if (start >= 0 || done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}

/** Say which constants, functions and classes are exported, and used in their own file alone. Types may describe a function. */
export function findUnusedExports(sources: Sources): string[] {
  const used = new Set<string>();
  for (const [path, code] of sources) {
    for (const { target, names } of importsOf(path, code)) for (const name of names) used.add(`${target} ${name}`);
  }
  return Array.from(sources).flatMap(([path, code]) => {
    if (used.has(`${path} *`)) return [];
    // A script that writes a script has exports in its texts.
    const ownCode = code.replace(/`(?:\\.|[^`\\])*`/g, '``');
    const exported = [...ownCode.matchAll(/^export (?:async )?(?:const|let|function|class) (\w+)/gm)];
    return exported
      .map((match) => match[1] ?? '')
      .filter((name) => !used.has(`${path} ${name}`))
      .map((name) => `${path} exports ${name}, which no other file uses: take "export" away, or the whole`);
  });
}

/** List the imports of a file: statements, calls, and paths that a test hands to another process. */
function importsOf(path: string, code: string): Import[] {
  const at = (specifier: string): string => normalize(join(dirname(path), specifier));
  const statements = /^(?:import|export)\s+(?:type\s+)?(\{[^}]*\}|\*(?: as \w+)?|\w+)\s+from\s+'(\.[^']+)'/gm;
  const others = /(?:\bimport\(|^import |\bresolve\(|\bURL\(|\bimportOf\()\s*'(\.[^']+)'/gm;
  return [
    ...Array.from(code.matchAll(statements), ([, names = '', specifier = '']) => ({
      target: at(specifier),
      names: namesOf(names),
    })),
    ...Array.from(code.matchAll(others), ([, specifier = '']) => ({ target: at(specifier), names: ['*'] })),
  ];
}

function namesOf(clause: string): string[] {
  if (!clause.startsWith('{')) return ['*'];
  const names = clause.slice(1, -1).split(',');
  return names
    .map((name) =>
      name
        .trim()
        .replace(/^type /, '')
        .replace(/ as .*/, ''),
    )
    .filter((name) => name !== '');
}
