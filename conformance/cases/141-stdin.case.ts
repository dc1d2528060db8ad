// Bad standard input: no JSON, no object, no name, no version, and keys of every plugin with the wrong type.

import { type BadInput, mustRefuseEach } from '../harness/bad-input.ts';
import { cases } from '../harness/case.ts';

const { test, run } = cases('bad standard input', { shared: true });
const OURS = { absent: 'the code and the text of the error; it accepts some of these' } as const;

const stdin = (what: string, text: string, says: RegExp, code = 6): BadInput => ({ what, code, says, stdin: text });
const key = (what: string, config: BadInput['config'], says: RegExp, code = 7): BadInput => ({
  what,
  code,
  says,
  config: config ?? {},
});

test('what is no JSON object is refused, with the place of the fault', 'same', (host) => {
  mustRefuseEach(host, host.addContainer(), [
    stdin('nothing', '', /unexpected end of JSON input/),
    stdin('white space', ' \n\t', /unexpected end of JSON input/),
    stdin('cut off', '{"cniVersion":"1.0.0","name":"po', /without a closing quote|unexpected end/),
    stdin('open brace', '{', /unexpected end of JSON input/),
    stdin('trailing comma', '{"name":"pods",}', /line 1, column 16/),
    stdin('no quotes', "{name:'pods'}", /line 1, column 2/),
    stdin('something after it', '{"name":"pods"}{}', /nothing after the end.*column 16/),
    stdin('second line', '{"name":\n  nope}', /line 2, column 3/),
    stdin('byte order mark', '\uFEFF{"name":"pods"}', /byte order mark/),
    stdin('a list', '[]', /must be a JSON object, is \[\]/),
    stdin('a text', '"pods"', /must be a JSON object, is "pods"/),
    stdin('a NUL', '\0', /line 1, column 1/),
    stdin('HTML', '<html>', /unexpected "<"/),
  ]);
});

test('null and a number are no object either', OURS, (host) => {
  mustRefuseEach(host, host.addContainer(), [
    stdin('null', 'null', /must be a JSON object, is null/),
    stdin('a number', '7', /must be a JSON object, is 7/),
    stdin('nested a million deep', '['.repeat(1_000_000), /unexpected end of JSON input/),
  ]);
});

test('name and version that are missing or malformed are refused', 'same', (host) => {
  mustRefuseEach(host, host.addContainer(), [
    key('no name', { name: undefined }, /missing network name/),
    key('empty name', { name: '' }, /missing network name/),
    ...['../etc', 'a/b', 'a b', '.pods', '-x', 'po:ds', 'pods\n', 'p\u00f6ds'].map((name) =>
      key(`name ${JSON.stringify(name)}`, { name }, /invalid characters found in network name/),
    ),
    key('name is a number', { name: 5 }, /"name": must be a string, is 5/, 6),
    key('name is an object', { name: {} }, /"name": must be a string, is \{\}/, 6),
    key('version is a number', { cniVersion: 1 }, /"cniVersion": must be a string, is 1/, 6),
    key('version is unknown', { cniVersion: '9.9.9' }, /"9\.9\.9".*"1\.0\.0"/, 1),
    key('version is short', { cniVersion: '1.0' }, /"1\.0".*"1\.0\.0"/, 1),
    { ...key('CHECK, version is a word', { cniVersion: 'new' }, /invalid version "new"/, 6), command: 'CHECK' },
    { ...key('CHECK, version has four parts', { cniVersion: '1.0.0.0' }, /too many parts/, 6), command: 'CHECK' },
  ]);
});

test('keys that every plugin knows are refused by name when they have the wrong type', OURS, (host) => {
  // Run as podlink, so that `type` has to say what it is.
  mustRefuseEach(host, host.addContainer(), [
    { ...key('type', { type: 7 }, /"type": must be a string, is 7/), call: { program: 'podlink' } },
    key('ipam', { ipam: 'host-local' }, /"ipam": must be an object, is "host-local"/),
    key('ipam is a list', { ipam: [] }, /"ipam": must be an object/),
    key('ipam without type', { ipam: { subnet: '10.0.0.0/8' } }, /"ipam\.type"/),
    key('ipam.type', { ipam: { type: 3 } }, /"ipam\.type": must be a string, is 3/),
    key('ipam.type with a path', { ipam: { type: '../x' } }, /"ipam\.type".*"\.\.\/x"/),
    key('ipam.type that is nowhere', { ipam: { type: 'dhcp6' } }, /"dhcp6".*CNI_PATH/),
    key('dns', { dns: [] }, /"dns": must be an object/),
    key('dns.nameservers', { dns: { nameservers: '10.0.0.1' } }, /"dns\.nameservers": must be a list/),
    key('dns.search', { dns: { search: [1] } }, /"dns\.search\[0\]": must be a string/),
    key('args', { args: 'x' }, /"args": must be an object/),
    key('args.cni', { args: { cni: [] } }, /"args\.cni": must be an object/),
    key('runtimeConfig', { runtimeConfig: 'x' }, /"runtimeConfig": must be an object/),
    key('prevResult', { prevResult: 'x' }, /"?prevResult"?.*must be an object/),
    key('prevResult.ips', { prevResult: { ips: {} } }, /prevResult\.ips": must be a list/),
    key('prevResult address', { prevResult: { ips: [{ address: '10.0.0.1' }] } }, /prevResult\.ips\[0\]\.address/),
    key(
      'prevResult index',
      { prevResult: { interfaces: [{ name: 'x' }], ips: [{ address: '10.0.0.1/8', interface: 4 }] } },
      /prevResult\.ips\[0\]\.interface": must be the index of one of/,
    ),
    key(
      'prevResult version',
      { prevResult: { cniVersion: '9.9.9' } },
      /prevResult\.cniVersion": must be one of.*"9\.9\.9"/,
    ),
    { ...key('CHECK without prevResult', {}, /prevResult missing/), command: 'CHECK' },
  ]);
});

run();
