import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CniError } from '../../protocol/errors.ts';
import { Fields } from '../../protocol/fields.ts';
import { type AttachmentRequest, readRequest } from '../../protocol/request.ts';
import { logCall, parseLogPath } from './call-log.ts';
import { Stopwatch } from './stopwatch.ts';

const test = suite<{ dir: string }>('call log');
const ENVIRONMENT = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/c1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
};
const request = readRequest(
  ENVIRONMENT,
  () => '{"cniVersion":"1.0.0","name":"pods","type":"podlink"}',
) as AttachmentRequest;

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'podlink-log-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

test('logCall() appends one line of JSON for every call, readable for root alone', ({ dir }) => {
  const path = join(dir, 'podlink.jsonl');
  const stopwatch = new Stopwatch();
  stopwatch.mark('start');
  logCall(path, request, stopwatch, undefined);
  logCall(path, request, stopwatch, new CniError(11, 'full', 'all taken'));
  const lines = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.is(lines.length, 2);
  const { time, ms, phases, ...rest } = lines[0];
  assert.equal(rest, {
    command: 'ADD',
    network: 'pods',
    cniVersion: '1.0.0',
    containerId: 'c1',
    ifname: 'eth0',
    netns: '/run/netns/c1',
    pod: 'shop/cart',
  });
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
  assert.is(phases.start, ms);
  assert.equal(lines[1].error, { code: 11, msg: 'full', details: 'all taken' });
  assert.is(statSync(path).mode & 0o777, 0o600);
});

test('logCall() does not follow a link that somebody has put at its place', ({ dir }) => {
  const path = join(dir, 'podlink.jsonl');
  symlinkSync('/dev/null', path);
  assert.throws(() => logCall(path, request, new Stopwatch(), undefined), /ELOOP/);
});

test('parseLogPath() wants an absolute path', () => {
  assert.is(parseLogPath(new Fields({})), undefined);
  assert.is(parseLogPath(new Fields({ log: '' })), undefined);
  assert.is(parseLogPath(new Fields({ log: '/var/log/podlink.jsonl' })), '/var/log/podlink.jsonl');
  assert.throws(() => parseLogPath(new Fields({ log: 'podlink.jsonl' })), /"log": must be an absolute path/);
  assert.throws(() => parseLogPath(new Fields({ log: 1 })), /"log": must be a string/);
});

test.run();
