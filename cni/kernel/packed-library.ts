// Assets of the executable: scripts that are compiled when somebody needs them, and no part of the startup snapshot, which
// every call reads. build.mjs makes them.

/** Libraries by the name of their asset, and what they are required as when run from source. */
const LIBRARIES = {
  // RE2's regular expressions, for the nodes that have an allow-list of sysctls.
  're2js.cjs': 're2js',
} as const;

/** Load what a library exports. */
export function loadLibrary(asset: keyof typeof LIBRARIES): unknown {
  if (isPacked()) return loadAsset(asset);
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(`${process.cwd()}/`)(LIBRARIES[asset]);
}

/** Whether this is the executable, and no run from source. */
export function isPacked(): boolean {
  return process.getBuiltinModule('node:sea').isSea();
}

/** Run a script of the executable as CommonJS, and return what it exports. */
export function loadAsset(asset: string): unknown {
  const { compileFunction } = process.getBuiltinModule('node:vm');
  const source = process.getBuiltinModule('node:sea').getAsset(asset, 'utf8');
  const script = compileFunction(source, ['module', 'exports', 'require'], { filename: asset });
  const module = { exports: {} };
  script(module, module.exports, requireBuiltin);
  return module.exports;
}

/** Find a module of Node. A script asks in a `try` for what it can do without (native helpers of its WebSockets). */
function requireBuiltin(name: string): object {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error(`There is no module "${name}"`);
  return module;
}
