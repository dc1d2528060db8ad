// What a function throws, to be looked at. (uvu's assert.throws() takes a string for its own title, not the error's.)

/** Run `work` and return the error it throws. Throws when it does not. */
export function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
    throw new TypeError(`Cannot look at something thrown that is no Error: ${String(error)}`);
  }
  throw new Error('Cannot find the error that was expected');
}

/** The same, of a class. Any other error is thrown on. */
export function thrownOf<Thrown extends Error>(kind: new (...args: never[]) => Thrown, work: () => unknown): Thrown {
  const error = thrown(work);
  if (error instanceof kind) return error;
  throw error;
}
