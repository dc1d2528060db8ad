import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { diagnose } from '../../diagnosis/attachment-diagnosis.ts';
import { finding } from '../doctor/finding.ts';
import { withRemedy } from './attachment-notes.ts';
import { diagnosisRows, formatDiagnosisDocs } from './diagnosis-docs.ts';

const test = suite('diagnosis docs');

const ROWS = Object.values(diagnosisRows()).flat();

test('cni/docs/diagnoses.md is what "npm run docs" writes', () => {
  const page = readFileSync(new URL('../../docs/diagnoses.md', import.meta.url), 'utf8');
  assert.ok(page === formatDiagnosisDocs(), 'it is stale: run "npm run docs"');
});

test('codes are words in lower case, and each is there once in all tables', () => {
  assert.equal(
    ROWS.filter(({ code }) => !/^[a-z]+(-[a-z]+)*$/.test(code)),
    [],
  );
  assert.is(new Set(ROWS.map(({ code }) => code)).size, ROWS.length);
});

test('every sentence has all of its parts, and nearly every code has a remedy', () => {
  assert.equal(
    ROWS.filter(({ sentence }) => sentence === '' || /undefined|NaN|\[object/.test(sentence)).map(({ code }) => code),
    [],
  );
  assert.equal(
    ROWS.filter(({ remedy }) => !remedy).map(({ code }) => code),
    ['kernel-feature-unseen', 'directory-for-root'],
  );
});

test('a finding is JSON with its sentences and its parts', () => {
  const found = finding('warn', 'bridges', 'bridge-delays-ports', { subject: 'br0', found: 15 });
  assert.equal(JSON.parse(JSON.stringify(found)), {
    level: 'warn',
    subject: 'bridges',
    what: 'bridge "br0" runs STP with a forward delay of 15 s',
    meaning: 'a container reaches nobody for 30 s after its ADD: its port listens and learns before it forwards',
    remedy: {
      sentence: 'turn STP off if no two of its ports are joined elsewhere, or give it a shorter forward_delay',
      commands: ['ip link set br0 type bridge stp_state 0'],
    },
    diagnosis: { code: 'bridge-delays-ports', subject: 'br0', found: 15 },
  });
});

test('withRemedy() adds what helps', () => {
  const { code, subject, remedy } = withRemedy(diagnose('bridge-gone', { subject: 'cni0' }));
  assert.equal([code, subject, remedy?.commands], ['bridge-gone', 'cni0', ['podlink repair']]);
});

test.run();
