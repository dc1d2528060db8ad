import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCycles, findUnusedExports } from './module-graph.ts';

const test = suite('module graph');

test('findCycles() tells of a circle once, by all of its files', () => {
  const sources = new Map([
    ['cni/a.ts', "import { b } from './b.ts';\n"],
    ['cni/b.ts', "import type { C } from './sub/c.ts';\nimport { d } from './d.ts';\n"],
    ['cni/sub/c.ts', "import {\n  a,\n} from '../a.ts';\n"],
    ['cni/d.ts', ''],
  ]);
  const [cycle, ...others] = findCycles(sources);
  assert.match(cycle ?? '', /^cni\/a\.ts imports cni\/b\.ts imports cni\/sub\/c\.ts imports cni\/a\.ts: /);
  assert.equal(others, []);
  sources.set('cni/sub/c.ts', "import { d } from '../d.ts';\n");
  assert.equal(findCycles(sources), []);
});

test('findUnusedExports() names what no other file uses', () => {
  const code = 'export const used = 1;\nexport function unused() {}\nexport interface Shape {}\nconst own = 2;\n';
  for (const [user, expected] of [
    ["import { used } from './a.ts';\n", ['unused']],
    ["import { type Shape, used, unused as other } from './a.ts';\n", []],
    ["import * as all from './a.ts';\n", []],
    ["const a = await import('./a.ts');\n", []],
    ["start(import.meta.resolve('./a.ts'));\n", []],
    ['', ['used', 'unused']],
  ] as const) {
    const found = findUnusedExports(
      new Map([
        ['cni/a.ts', code],
        ['cni/b.ts', user],
      ]),
    );
    const names = found.map((line) => /^cni\/a\.ts exports (\w+),/.exec(line)?.[1]);
    assert.equal(names, expected, user);
  }
});

test('findUnusedExports() takes no notice of what a script writes', () => {
  assert.equal(findUnusedExports(new Map([['cni/a.ts', 'write(`\nexport const x = 1;\n`);\n']])), []);
});

test.run();
