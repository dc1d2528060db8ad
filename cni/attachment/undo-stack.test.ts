import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UndoStack } from './undo-stack.ts';

const test = suite('UndoStack');

test('run() takes the last step back first', async () => {
  const undo = new UndoStack();
  const order: string[] = [];
  undo.push('remove the first', () => void order.push('first'));
  undo.push('remove the second', async () => void order.push('second'));
  assert.equal(await undo.run(), []);
  assert.equal(order, ['second', 'first']);
});

test('run() goes on after a step that throws, and says what could not be undone', async () => {
  const undo = new UndoStack();
  let isFirstUndone = false;
  undo.push('remove the first', () => {
    isFirstUndone = true;
  });
  undo.push('remove the second', () => {
    throw new Error('busy');
  });
  undo.push('release', () => Promise.reject(new Error('unreachable')));
  assert.equal(await undo.run(), ['Cannot release: unreachable', 'Cannot remove the second: busy']);
  assert.ok(isFirstUndone);
});

test('run() takes every step back once only', async () => {
  const undo = new UndoStack();
  let count = 0;
  undo.push('count', () => void count++);
  await undo.run();
  await undo.run();
  assert.is(count, 1);
});

test.run();
