// Hold the architecture: imports go downwards only and in no circle, one file speaks to libc, what is exported is used, names
// and sizes stay reasonable.
//
// usage: node .ci/check-imports.ts
//
// One line for each violation, saying where the code belongs instead; exit code 1 if there is any.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCycles, findUnusedExports } from './module-graph.ts';
import { FFI_FILE, FORBIDDEN_NAMES, LAYERS, type Layer, MAX_LINES, MAY_WAIT } from './architecture.ts';

const FOLDERS = ['cni', 'ipam', 'conformance', '.ci'];

/** Say what is wrong with one source file. `path` is relative to the project's folder. */
export function findViolations(path: string, source: string): string[] {
  const code = withoutComments(source);
  return [
    ...importsOf(code).flatMap((specifier) => checkImport(path, specifier)),
    ...checkRuntimeRules(path, code),
    ...checkFile(path, source),
  ];
}

/** The module specifiers of a file's imports, exports and dynamic imports. Expects the formatter's one statement a line. */
export function importsOf(code: string): string[] {
  const statements = /^\s*(?:import\s*|(?:import|export)\b[^'";=(]*\bfrom\s*)(['"])([^'"\n]+)\1/gm;
  const calls = /\bimport\(\s*(['"])([^'"\n]+)\1/g;
  return [...code.matchAll(statements), ...code.matchAll(calls)].map((match) => match[2] ?? '');
}

function checkImport(path: string, specifier: string): string[] {
  if (!specifier.startsWith('.')) return [];
  const target = normalize(join(dirname(path), specifier));
  if (!target.endsWith('.ts')) return [`${path} imports ${specifier}: name the file with its ending .ts`];
  const layer = layerOf(path);
  if (!layer) return [`${path} belongs to no layer: add its folder to .ci/architecture.ts`];
  const allowed = layerOf(target) === layer || layer.mayImport.some((folder) => holds(folder, target));
  return allowed ? [] : [`${path} imports ${target}: ${layer.remedy}`];
}

function holds(folder: string, target: string): boolean {
  return folder.endsWith('/*') ? dirname(target) === folder.slice(0, -2) : target.startsWith(folder);
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => path.startsWith(layer.folder));
}

function checkRuntimeRules(path: string, code: string): string[] {
  if (!path.startsWith('cni/') && !path.startsWith('ipam/')) return [];
  const violations: string[] = [];
  if (path !== FFI_FILE && /(['"`])node:ffi\1/.test(code))
    violations.push(`${path} uses node:ffi: system calls belong in ${FFI_FILE}`);
  if (isTest(path) || MAY_WAIT.some((folder) => path.startsWith(folder))) return violations;
  if (/(['"`])node:(fs\/promises|timers\/promises|worker_threads)\1/.test(code) || /\bawait\b/.test(code))
    violations.push(
      `${path} is asynchronous: kernel and file work is synchronous, a thread may be in another namespace`,
    );
  return violations;
}

function checkFile(path: string, source: string): string[] {
  const violations: string[] = [];
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (FORBIDDEN_NAMES.includes(name)) violations.push(`${path}: name the file after the concept it holds`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*\.ts$/.test(name)) violations.push(`${path}: file names are kebab-case`);
  const lines = source.split('\n').length - 1;
  if (lines > MAX_LINES && !isTest(path))
    violations.push(`${path} has ${lines} lines, more than ${MAX_LINES}: split it`);
  source.split('\n').forEach((line, i) => {
    if (/\bTODO\b/.test(line) && !/#\d+|\/issues\/\d+/.test(line) && !path.startsWith('.ci/'))
      violations.push(`${path}:${i + 1} has a TODO without an issue: name it as #NUMBER, or do it`);
  });
  return violations;
}

function isTest(path: string): boolean {
  return /\.(test|case)\.ts$/.test(path) || path.includes('/testing/');
}

/** Blank out comments, so that what is only mentioned in them is no import. Strings are kept. */
function withoutComments(source: string): string {
  return source.replace(
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (token) => (token.startsWith('//') || token.startsWith('/*') ? '' : token),
  );
}

function main(): void {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const violations: string[] = [];
  const sources = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const path = relative(root, join(entry.parentPath, entry.name));
      const source = readFileSync(join(root, path), 'utf8');
      violations.push(...findViolations(path, source));
      sources.set(path, withoutComments(source));
    }
  }
  for (const path of ['build.mjs']) sources.set(path, readFileSync(join(root, path), 'utf8'));
  violations.push(...findCycles(sources), ...findUnusedExports(sources));
  if (violations.length > 0) {
    console.error(violations.sort().join('\n'));
    process.exitCode = 1;
  } else console.log(`${sources.size} files keep the rules of .ci/architecture.ts`);
}

if (import.meta.main) main();
