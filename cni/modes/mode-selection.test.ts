import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseCniArgs } from '../protocol/args.ts';
import { parseNetworkConfig } from '../protocol/config.ts';
import { toCniError } from '../protocol/errors.ts';
import { matchesGlob } from './glob.ts';
import { selectMode } from './mode-selection.ts';

const test = suite('mode selection');
const POD = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-1';

function select(config: object, args = POD) {
  const stdin = JSON.stringify({ cniVersion: '1.0.0', name: 'pods', type: 'podlink', ...config });
  const { mode, target, isPodsChoice } = selectMode(parseNetworkConfig(stdin), parseCniArgs(args));
  return [mode, target, isPodsChoice];
}

const annotated = (mode: string, target?: string) => ({
  runtimeConfig: {
    'io.kubernetes.cri.pod-annotations': { 'podlink.dev/mode': mode, ...(target && { 'podlink.dev/target': target }) },
  },
});

const rows: [title: string, config: object, args: string, expected: unknown[]][] = [
  ['bridge without any word', {}, POD, ['bridge', undefined, false]],
  [
    'the configured mode and target',
    { mode: 'container', target: 'container:x' },
    POD,
    ['container', 'container:x', false],
  ],
  [
    'the first override that matches',
    {
      overrides: [
        { pod: 'other/*', mode: 'none' },
        { pod: 'shop/*', mode: 'host' },
        { pod: 'shop/cart-1', mode: 'none' },
      ],
    },
    POD,
    ['host', undefined, false],
  ],
  [
    'an override before the pod’s wish',
    { allowModes: ['host'], overrides: [{ pod: 'shop/cart-?', mode: 'none' }], ...annotated('host') },
    POD,
    ['none', undefined, false],
  ],
  [
    'an annotation that is allowed',
    { allowModes: ['container'], ...annotated('container', 'pod:shop/db') },
    POD,
    ['container', 'pod:shop/db', true],
  ],
  [
    'args.cni that is allowed',
    { allowModes: ['none'], args: { cni: { mode: 'none' } } },
    POD,
    ['none', undefined, true],
  ],
  [
    'CNI_ARGS that are allowed',
    { allowModes: ['container'] },
    `${POD};MODE=container;TARGET=container:x`,
    ['container', 'container:x', true],
  ],
  [
    'an annotation before args.cni before CNI_ARGS',
    { allowModes: ['host', 'none'], args: { cni: { mode: 'none' } }, ...annotated('host') },
    `${POD};MODE=none`,
    ['host', undefined, true],
  ],
  [
    'the configured mode when the annotations say nothing of it',
    { mode: 'none', runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { other: 'x' } } },
    POD,
    ['none', undefined, false],
  ],
  [
    'no target of the operator’s for a pod that chose',
    { allowModes: ['container'], target: 'container:secret', ...annotated('container') },
    POD,
    ['container', undefined, true],
  ],
  [
    'no override without a pod’s name',
    { overrides: [{ pod: 'shop/*', mode: 'host' }] },
    '',
    ['bridge', undefined, false],
  ],
];

for (const [title, config, args, expected] of rows) {
  test(`selectMode() chooses ${title}`, () => assert.equal(select(config, args), expected));
}

const refusals: [title: string, config: object, args: string, code: number, message: RegExp][] = [
  [
    'an annotation with an empty allowModes',
    annotated('host'),
    POD,
    4,
    /does not let a pod choose mode "host" \(its "allowModes" is \[\]\)/,
  ],
  [
    'an annotation that allowModes does not name',
    { allowModes: ['none'], ...annotated('host') },
    POD,
    4,
    /annotation podlink.dev\/mode/,
  ],
  [
    'args.cni that allowModes does not name',
    { allowModes: ['none'], args: { cni: { mode: 'host' } } },
    POD,
    4,
    /args.cni.mode/,
  ],
  ['CNI_ARGS that allowModes does not name', {}, `${POD};MODE=host`, 4, /MODE in CNI_ARGS/],
  [
    'a mode that does not exist, asked for by the pod',
    { allowModes: ['host'], ...annotated('Host') },
    POD,
    4,
    /must be one of bridge, host, container, none, is "Host"/,
  ],
  ['a mode that does not exist', { mode: 'hosts' }, POD, 7, /"mode".*must be one of/],
  ['a mode in allowModes that does not exist', { allowModes: ['host', 'x'] }, POD, 7, /"allowModes\[1\]"/],
  ['allowModes that is no list', { allowModes: 'host' }, POD, 7, /"allowModes": must be a list/],
  ['an override without a pod', { overrides: [{ mode: 'host' }] }, POD, 7, /"overrides\[0\].pod"/],
  [
    'an override whose pod has no namespace',
    { overrides: [{ pod: 'cart', mode: 'host' }] },
    POD,
    7,
    /"overrides\[0\].pod"/,
  ],
  [
    'an override without a mode, even one behind the match',
    { overrides: [{ pod: 'shop/*', mode: 'host' }, { pod: 'a/b' }] },
    POD,
    7,
    /"overrides\[1\].mode"/,
  ],
];

for (const [title, config, args, code, message] of refusals) {
  test(`selectMode() refuses ${title}`, () => {
    try {
      select(config, args);
    } catch (error) {
      const cniError = toCniError(error);
      assert.is(cniError.code, code);
      assert.match(cniError.message, message);
      return;
    }
    assert.unreachable();
  });
}

const globs: [text: string, glob: string, isMatch: boolean][] = [
  ['shop/cart', 'shop/cart', true],
  ['shop/cart', 'shop/*', true],
  ['shop/cart', '*/cart', true],
  ['shop/cart', '*', false],
  ['shop/cart', 'shop/c?rt', true],
  ['shop/cart', 'shop/car', false],
  ['shop/cart-2', 'shop/cart', false],
  ['shop/cart', 'sh.p/cart', false],
  ['shop/a+b(c)', 'shop/a+b(c)', true],
  ['/run/netns/x', '/run/netns/*', true],
  ['/run/netns/x/y', '/run/netns/*', false],
];

for (const [text, glob, isMatch] of globs) {
  test(`matchesGlob() says ${isMatch} to ${text} and ${glob}`, () => assert.is(matchesGlob(text, glob), isMatch));
}

test.run();
