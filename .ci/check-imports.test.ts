import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findViolations, importsOf } from './check-imports.ts';

const test = suite('check-imports');

test('importsOf() finds every form of import', () => {
  const code = [
    "import { a } from './a.ts';",
    "import type {\n  B,\n  C,\n} from '../b.ts';",
    "export { d } from './d.ts';",
    "import './e.ts';",
    "const f = await import('./f.ts');",
  ].join('\n');
  assert.equal(importsOf(code), ['./a.ts', '../b.ts', './d.ts', './e.ts', './f.ts']);
});

/** From, to, and whether the architecture allows it. */
const IMPORTS: readonly (readonly [string, string, boolean])[] = [
  ['cni/main.ts', './verbs/add.ts', true],
  ['cni/main.ts', '../ipam/registry.ts', true],
  ['cni/main.ts', '../conformance/harness/host.ts', false],
  ['cni/verbs/add.ts', '../modes/bridge.ts', true],
  ['cni/verbs/add.ts', '../../ipam/registry.ts', true],
  ['cni/verbs/add.ts', '../kernel/netns.ts', true],
  ['cni/verbs/add.ts', '../main.ts', false],
  ['cni/verbs/add.ts', '../operator/doctor.ts', false],
  ['cni/verbs/add.ts', '../attachment/record.ts', true],
  ['cni/verbs/add.ts', '../roles/role-table.ts', false],
  ['cni/attachment/record.ts', '../kernel/netns.ts', true],
  ['cni/attachment/record.ts', '../modes/mode.ts', false],
  ['cni/roles/role-table.ts', '../verbs/add.ts', true],
  ['cni/operator/doctor/doctor.ts', '../../roles/role-table.ts', true],
  ['cni/modes/bridge/bridge.ts', '../../kernel/rtnetlink/link.ts', true],
  ['cni/modes/bridge/bridge.ts', '../../protocol/result.ts', true],
  ['cni/modes/bridge/bridge.ts', '../../features/masquerade.ts', false],
  ['cni/modes/bridge/bridge.ts', '../../verbs/context.ts', false],
  ['cni/features/masquerade/masquerade.ts', '../../modes/mode.ts', false],
  ['cni/features/masquerade/masquerade.ts', '../../kernel/nftables/batch.ts', true],
  ['cni/protocol/config.ts', './fields.ts', true],
  ['cni/protocol/config.ts', '../kernel/errno.ts', false],
  ['cni/kernel/netns.ts', './syscalls.ts', true],
  ['cni/kernel/netns.ts', './netlink/reader.ts', false],
  ['cni/kernel/netns.ts', '../protocol/errors.ts', false],
  ['cni/kernel/netlink/transport.ts', '../syscalls.ts', true],
  ['cni/kernel/netlink/transport.ts', '../rtnetlink/link.ts', false],
  ['cni/kernel/rtnetlink/link/link.ts', '../../netlink/reader.ts', true],
  ['cni/kernel/rtnetlink/link/link.ts', '../../nftables/batch.ts', false],
  ['cni/kernel/nftables/batch.ts', '../rtnetlink/link.ts', false],
  ['ipam/range/range.ts', '../../cni/protocol/fields.ts', true],
  ['ipam/range/range.ts', '../../cni/protocol/errors.ts', false],
  ['ipam/store/disk-store.ts', '../../cni/kernel/flock.ts', false],
  ['conformance/cases/010-add.case.ts', '../harness/case.ts', true],
  ['conformance/harness/host.ts', '../../cni/protocol/errors.ts', false],
  ['conformance/harness/host.ts', '../../ipam/address.ts', false],
];

for (const [from, specifier, allowed] of IMPORTS) {
  test(`findViolations() ${allowed ? 'allows' : 'refuses'} ${from} importing ${specifier}`, () => {
    const violations = findViolations(from, `import { x } from '${specifier}';\n`);
    assert.is(violations.length, allowed ? 0 : 1, violations.join('\n'));
    if (!allowed) assert.match(violations[0] ?? '', new RegExp(`^${from.replaceAll('.', '\\.')} imports .+: .+`));
  });
}

test('findViolations() ignores imports that stand in comments', () => {
  assert.equal(findViolations('ipam/range/range.ts', "// import { x } from '../cni/kernel/errno.ts';\n"), []);
  assert.equal(findViolations('ipam/range/range.ts', "/*\n import { x } from '../cni/kernel/errno.ts';\n*/\n"), []);
});

test('findViolations() wants the ending .ts', () => {
  assert.match(findViolations('ipam/range/range.ts', "import { x } from './address';\n")[0] ?? '', /ending \.ts/);
});

test('findViolations() lets only the one file use node:ffi', () => {
  const source = "const { dlopen } = process.getBuiltinModule('node:ffi');\n";
  assert.equal(findViolations('cni/kernel/syscalls.ts', source), []);
  assert.match(findViolations('cni/kernel/netns.ts', source)[0] ?? '', /syscalls\.ts/);
  assert.is(findViolations('cni/kernel/netns.test.ts', source).length, 1);
});

test('findViolations() refuses await where the thread may be in another namespace', () => {
  assert.is(findViolations('cni/modes/bridge/bridge.ts', 'await add();\n').length, 1);
  assert.is(findViolations('cni/kernel/netns.ts', 'await add();\n').length, 1);
  assert.equal(findViolations('cni/modes/bridge.test.ts', 'await add();\n'), []);
  assert.equal(findViolations('cni/verbs/add.ts', 'await add();\n'), []);
});

test('findViolations() refuses names that say nothing', () => {
  assert.is(findViolations('ipam/utils.ts', '').length, 1);
  assert.is(findViolations('ipam/diskStore.ts', '').length, 1);
  assert.equal(findViolations('ipam/disk-store.kernel.test.ts', ''), []);
});

test('findViolations() refuses sources over 400 lines and not such tests', () => {
  const source = 'const x = 1;\n'.repeat(401);
  assert.is(findViolations('ipam/range/range.ts', source).length, 1);
  assert.equal(findViolations('ipam/range.test.ts', source), []);
});

test('findViolations() wants an issue for every TODO', () => {
  const word = 'TO' + 'DO';
  assert.match(findViolations('ipam/range/range.ts', `// ${word} later\n`)[0] ?? '', /^ipam\/range\/range\.ts:1 /);
  assert.equal(findViolations('ipam/range/range.ts', `// ${word} #12 later\n`), []);
});

test.run();
