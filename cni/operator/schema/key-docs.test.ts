import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatKeyDocs } from './key-docs.ts';
import { ENTRY_KEYS, IPAM_SECTIONS } from './key-schema.ts';

const test = suite('key docs');

test('cni/docs/keys.md is what "npm run docs" writes', () => {
  const page = readFileSync(new URL('../../docs/keys.md', import.meta.url), 'utf8');
  assert.ok(page === formatKeyDocs(), 'it is stale: run "npm run docs"');
});

test('formatKeyDocs() has a row for every key', () => {
  const page = formatKeyDocs();
  for (const { name } of [...ENTRY_KEYS, ...[...IPAM_SECTIONS.values()].flatMap(({ keys }) => keys)])
    assert.ok(page.includes(`\n| \`${name}\` | `), name);
  for (const path of ['vlanTrunk[].minID', 'ranges[][].exclude', 'dns.search', 'routes[].dst', 'overrides[].pod'])
    assert.ok(page.includes(`\n| \`${path}\` | `), path);
});

test.run();
