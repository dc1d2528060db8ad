// Scripts that lie in the executable as assets and not in its startup snapshot, since every call of a runtime reads the
// snapshot, and ADD and DEL need none of them: the operator's commands (5 ms of every start), the client of the Kubernetes
// API (16), and what reads other firewalls' rules, which only CHECK and `doctor` do.

/** Scripts by the name of their asset, and what they are imported as when run from source. build.mjs makes the assets. */
const SOURCES = {
  'operator.cjs': '../operator/command-line.ts',
  'foreign-firewall.cjs': '../features/foreign-firewall.ts',
  'kubernetes-client.cjs': '@kubernetes/client-node',
} as const;

/** What a script exports, from the executable, or from source. It shares no class with those who load it. */
export async function loadScript(asset: keyof typeof SOURCES): Promise<unknown> {
  const sea = process.getBuiltinModule('node:sea');
  const source: string = SOURCES[asset];
  if (!sea.isSea()) return await import(source);
  const { compileFunction } = process.getBuiltinModule('node:vm');
  const script = compileFunction(sea.getAsset(asset, 'utf8'), ['module', 'exports', 'require'], { filename: asset });
  const module = { exports: {} };
  script(module, module.exports, requireBuiltin);
  return module.exports;
}

/** What the script does without where it is not there (native helpers of its WebSockets), it asks for in a `try`. */
function requireBuiltin(name: string): object {
  const module = process.getBuiltinModule(name);
  if (module === undefined) throw new Error(`There is no module "${name}"`);
  return module;
}
