import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bundleMain } from './bundle.ts';
import { findFunctions, selectProfiled } from './call-profile.ts';

const test = suite('call profile');

const namesIn = (script: string): string[] => findFunctions(script).map(({ name }) => name);

test('findFunctions() names functions by what they are given to, and by what is around them', () => {
  assert.equal(namesIn('function a(){function b(){}}'), ['a', 'a.b']);
  assert.equal(namesIn('var a=()=>1,b=function(){};c=()=>2;var d={e(){},f:()=>3}'), ['a', 'b', 'c', 'e', 'f']);
  assert.equal(namesIn('class A{constructor(){}get b(){}static c=()=>1;#d(){}}'), [
    'A.constructor',
    'A.b',
    'A.c',
    'A.d',
  ]);
  assert.equal(namesIn('var A=class B{c(){}}'), ['B.c']);
  assert.equal(namesIn('var{a=()=>1}=o;class C{[k](){}}'), ['a', 'C']);
});

test('findFunctions() counts a function without a name to the one around it', () => {
  assert.equal(namesIn('function a(){return [1].map((x)=>x)}'), ['a', 'a']);
  assert.equal(namesIn('[1].map((x)=>x);var c={"lib/x.js"(e){function d(){}}}'), ['', '', 'd']);
});

test('selectProfiled() gives the places of the functions that the profile names', () => {
  const script = 'function a(){}function b(){return()=>a}class C{d(){}}';
  const select = (profile: string): string[] =>
    selectProfiled(script, profile).map(({ start, end }) => script.slice(start, end));
  assert.equal(select('# a comment\nb\nC.d\ngone\n'), ['function b(){return()=>a}', '()=>a', '(){}']);
  assert.equal(select(''), []);
  assert.equal(select('# a\n'), []);
});

test('the profile in the tree is that of this code', async () => {
  const profile = readFileSync(join(import.meta.dirname, 'call-profile.txt'), 'utf8');
  const lines = profile.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const functions = new Set(namesIn(await bundleMain(join(import.meta.dirname, '../..'), '0.0.0')));
  const gone = lines.filter((name) => !functions.has(name));
  assert.ok(lines.length > 300, `it has ${lines.length} functions`);
  assert.ok(
    gone.length <= lines.length / 20,
    `run "npm run profile" as root, and commit what it writes: ${gone.length} of ${lines.length} functions are gone (${gone.join(' ')})`,
  );
});

test.run();
