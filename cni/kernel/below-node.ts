// What lies under Node's modules: functions in C++ that check what they are given. In the executable they spare a call
// the JavaScript above them, which would be loaded and compiled in the middle of an ADD. They belong to the Node that is
// pinned in package.json, and the build hands them to the bundle; run from source there are none.

declare const internalBinding: ((name: string) => unknown) | undefined;

/** The functions of that name; undefined when run from source. `Functions`: as used, there are no types of Node's. */
export function belowNode<Functions>(name: 'ffi' | 'spawn_sync'): Functions | undefined {
  return typeof internalBinding === 'function' ? (internalBinding(name) as Functions) : undefined;
}
