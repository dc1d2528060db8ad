import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bundleAssets, bundleMain } from './bundle.ts';
import { formatLicences, licencesOfBundles, licencesOfLibraries } from './licences.ts';

const test = suite<{ folder: string }>('licences');
const ROOT = join(import.meta.dirname, '../..');

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'podlink-licences-'));
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true }));

function bundleWith(packages: readonly string[], legalComments = '') {
  return { script: '', packages, legalComments };
}

function makePackage(folder: string, name: string, license: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, version: '1.2.3', license }));
  return path;
}

test('the bundles of the executable hold packages of npm, and each has a licence', async () => {
  const bundles = [await bundleMain(ROOT, '0.0.0'), ...(await bundleAssets(ROOT)).values()];
  const licences = licencesOfBundles(bundles);
  const titles = licences.map(({ title }) => title.replace(/ [\d.]+$/, ''));
  for (const name of ['ip-address', 're2js', 'smol-toml', '@kubernetes/client-node'])
    assert.ok(titles.includes(name), titles.join());
  const text = licences.find(({ title }) => title.startsWith('ip-address '))?.text ?? '';
  assert.match(text, /Copyright \(C\) 2011 by Beau Gunderson/);
  assert.match(text, /The above copyright notice and this permission notice shall be included/);
});

test('licencesOfBundles() takes licence and notice of a package once, and the comments of its files', ({ folder }) => {
  const path = makePackage(folder, 'first', 'MIT');
  writeFileSync(join(path, 'LICENSE.md'), 'the licence');
  writeFileSync(join(path, 'NOTICE'), 'the notice');
  writeFileSync(join(path, 'licensing.js'), 'no licence');
  assert.equal(licencesOfBundles([bundleWith([path], '/*! mine */\n'), bundleWith([path])]), [
    { title: 'first 1.2.3', text: 'the licence\nthe notice' },
    { title: 'Comments in these packages', text: '/*! mine */' },
  ]);
});

test('licencesOfBundles() refuses a package without a licence, unless its licence asks for nothing', ({ folder }) => {
  const [free, bound] = [makePackage(folder, 'free', 'Unlicense'), makePackage(folder, 'bound', 'MIT')];
  assert.equal(licencesOfBundles([bundleWith([free])]), [{ title: 'free 1.2.3', text: 'License: Unlicense\n' }]);
  assert.throws(() => licencesOfBundles([bundleWith([bound])]), /bound 1\.2\.3 is in a bundle, and has no licence/);
});

test('licencesOfLibraries() names libraries of one licence together, and refuses to leave one out', ({ folder }) => {
  const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
  const write = (name: string, text: string): void => {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'copyright'), text);
  };
  for (const name of ['libstdc++6', 'libgcc-s1', 'libatomic1']) write(name, 'of gcc');
  assert.throws(() => licencesOfLibraries(architecture, folder), /libc6\/copyright/);
  write('libc6', 'of glibc');
  assert.equal(licencesOfLibraries(architecture, folder), [
    { title: 'libc6 (as Debian has them)', text: 'of glibc' },
    { title: 'libstdc++6, libgcc-s1, libatomic1 (as Debian has them)', text: 'of gcc' },
  ]);
});

test('formatLicences() puts each text under the name of whose it is', () => {
  const line = '='.repeat(80);
  const licences = [
    { title: 'a', text: '\none\n\n' },
    { title: 'b', text: 'two' },
  ];
  assert.is(formatLicences(licences), `${line}\na\n${line}\n\none\n\n${line}\nb\n${line}\n\ntwo\n`);
});

test.run();
