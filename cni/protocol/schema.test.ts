import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FaultList, FieldError, Fields } from './fields.ts';
import { type KeyRows, keyTable, read, readKey } from './schema.ts';

const test = suite('schema');

const PORT_KEYS = { port: { type: 'integer', min: 1, max: 65535 } } as const satisfies KeyRows;

const KEYS = {
  name: { type: 'string', default: 'cni0' },
  isOn: { type: 'boolean', default: false },
  count: { type: 'integer', min: 1, max: 9 },
  kind: { type: 'string', words: ['a', 'b'] },
  tags: { type: 'strings', default: [] },
  ports: { type: 'objects', keys: PORT_KEYS, default: [], read: portsAt },
  extra: { type: 'any' },
} as const satisfies KeyRows;

function portsAt(fields: Fields, key: string): number[] | undefined {
  const entries = fields.objects(key);
  return (
    entries &&
    fields.items(entries, fields.at(key), (entry) => {
      const port = readKey(entry, PORT_KEYS, 'port');
      if (port === undefined) throw new FieldError(entry.at('port'), 'is missing');
      return port;
    })
  );
}

test('read() has the defaults of the rows, and undefined without one', () => {
  const absent = { count: undefined, kind: undefined, extra: undefined };
  const defaults = { name: 'cni0', isOn: false, tags: [], ports: [], ...absent };
  assert.equal(read(new Fields({}), KEYS), defaults);
  assert.equal(read(new Fields({ name: null, ports: null }), KEYS), defaults);
});

test('read() gives values of the rows’ types, whatever the case of the keys', () => {
  const values = read(
    new Fields({ NAME: 'x', ison: true, count: 3, Kind: 'b', ports: [{ port: 80 }], extra: {} }),
    KEYS,
  );
  // Each is of the type that the row says.
  const kind: 'a' | 'b' | undefined = values.kind;
  const ports: readonly number[] = values.ports;
  assert.equal([values.name, values.isOn, values.count, kind, ports], ['x', true, 3, 'b', [80]]);
});

const WRONG: readonly (readonly [json: object, message: RegExp])[] = [
  [{ name: 5 }, /^Invalid "at\.name": must be a string, is 5$/],
  [{ isOn: 'yes' }, /^Invalid "at\.isOn": must be true or false, is "yes"$/],
  [{ count: 10 }, /^Invalid "at\.count": must be a whole number from 1 to 9, is 10$/],
  [{ kind: 'c' }, /^Invalid "at\.kind": must be one of "a", "b", is "c"$/],
  [{ tags: 'x' }, /^Invalid "at\.tags": must be a list, is "x"$/],
  [{ tags: ['x', 7] }, /^Invalid "at\.tags\[1\]": must be a string, is 7$/],
  [{ ports: [{ port: 1 }, 7] }, /^Invalid "at\.ports\[1\]": must be an object, is 7$/],
  [{ ports: [{ port: 1 }, {}] }, /^Invalid "at\.ports\[1\]\.port": is missing$/],
];
for (const [json, message] of WRONG) {
  test(`read() throws for ${JSON.stringify(json)}`, () => {
    assert.throws(
      () => read(new Fields(json, 'at'), KEYS),
      (error: unknown) => error instanceof FieldError && message.test(error.message),
    );
  });
}

/** All faults that reading comes upon, and what it reads all the same. */
function collect(json: object) {
  const faults = new FaultList();
  const values = read(new Fields(json, '', faults), KEYS);
  return { values, paths: faults.all.map(({ path }) => path) };
}

test('read() with a FaultList finds all faults at once, and keeps what is sound', () => {
  const json = { name: 5, isOn: 'yes', count: 3, tags: ['x', 7, 'y', 8], ports: [{ port: 0 }, { port: 80 }, 7] };
  const { values, paths } = collect(json);
  assert.equal(paths, ['name', 'isOn', 'tags[1]', 'tags[3]', 'ports[2]', 'ports[0].port']);
  assert.equal([values.name, values.isOn, values.count], ['cni0', false, 3]);
  assert.equal([values.tags, values.ports], [['x', 'y'], [80]]);
});

test('a key that was refused is absent from then on', () => {
  const faults = new FaultList();
  const fields = new Fields({ a: 1, b: { c: 'x' } }, '', faults);
  assert.is(fields.refuse('a', 'cannot be'), undefined);
  assert.equal([fields.get('a'), fields.string('a')], [undefined, undefined]);
  assert.is(fields.object('b')?.integer('c', 0, 9), undefined);
  // Another part that reads it does not tell of it again, nor of what follows from it.
  assert.is(fields.object('b')?.boolean('c'), undefined);
  fields.report(new FieldError('b', 'must hold a number'));
  assert.equal(
    faults.all.map(({ path }) => path),
    ['a', 'b.c'],
  );
});

test('part() lets through what is no fault of the configuration', () => {
  const fields = new Fields({}, '', new FaultList());
  assert.throws(() => fields.part(() => Object.keys(undefined as unknown as object)), TypeError);
});

test('keyTable() joins rows and notes', () => {
  const { rows, section } = keyTable(PORT_KEYS, () => ({ title: 'Ports', notes: { port: 'A port.' } }));
  assert.is(rows.port.max, 65535);
  assert.equal(section(), { title: 'Ports', notes: { port: 'A port.' } });
});

test.run();
