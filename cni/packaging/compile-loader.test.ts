import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileLoader, digestOfSource, whyNotCompilable } from './compile-loader.ts';
import { LOADER_CODE, LOADER_SOURCE_SHA256 } from './loader-code.ts';

const test = suite('compile loader');

test('loader-code.ts was made of this loader.c', () => {
  assert.is(LOADER_SOURCE_SHA256, digestOfSource(), 'run compile-loader.ts');
});

for (const architecture of ['x64', 'arm64'] as const) {
  const title = `the code for ${architecture} is what loader.c compiles to, byte for byte`;
  test(title, () => {
    const reason = whyNotCompilable(architecture);
    if (reason === undefined) assert.is(compileLoader(architecture).toString('base64'), LOADER_CODE[architecture]);
    else console.log(`\nSKIP ${title}: ${reason}`);
  });
}

test.run();
