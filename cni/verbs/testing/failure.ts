// The error that a verb ends with, to be looked at.

import { CniError } from '../../protocol/errors.ts';

/** Wait for work to fail, and return its CniError. Any other error is thrown on. */
export async function failureOf(work: Promise<unknown>): Promise<CniError> {
  const error = await errorOf(work);
  if (error instanceof CniError) return error;
  throw error;
}

/** Wait for work to fail, and return the messages of its AggregateError. Any other error is thrown on. */
export async function failuresOf(work: Promise<unknown>): Promise<string[]> {
  const error = await errorOf(work);
  if (error instanceof AggregateError) return error.errors.map(({ message }: Error) => message);
  throw error;
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('Cannot find the error that was expected');
}
