import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UndoStack } from './undo-stack.ts';

const test = suite('UndoStack');

test('run() takes the last step back first', () => {
  const undo = new UndoStack();
  const order: string[] = [];
  undo.push('remove the first', () => order.push('first'));
  undo.push('remove the second', () => order.push('second'));
  assert.equal(undo.run(), []);
  assert.equal(order, ['second', 'first']);
});

test('run() goes on after a step that throws, and says what could not be undone', () => {
  const undo = new UndoStack();
  let isFirstUndone = false;
  undo.push('remove the first', () => {
    isFirstUndone = true;
  });
  undo.push('remove the second', () => {
    throw new Error('busy');
  });
  assert.equal(undo.run(), ['Cannot remove the second: busy']);
  assert.ok(isFirstUndone);
});

test('run() takes every step back once only', () => {
  const undo = new UndoStack();
  let count = 0;
  undo.push('count', () => count++);
  undo.run();
  undo.run();
  assert.is(count, 1);
});

test.run();
