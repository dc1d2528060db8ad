import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ContainerdConfig, ContainerdConfigError, readContainerdConfig } from './containerd-config.ts';

const test = suite('containerd-config');

/** Read `config.toml` of a directory with these files in it. Paths in the answer are relative to the directory. */
function read(files: Readonly<Record<string, string>>, major?: number): ContainerdConfig | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'containerd-config-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(dir, name)), { recursive: true });
      writeFileSync(join(dir, name), text.replaceAll('@', dir));
    }
    const config = readContainerdConfig(join(dir, 'config.toml'), { major });
    return config && { ...config, files: config.files.map((file) => file.slice(dir.length + 1)) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const NOTHING = {
  binDirs: undefined,
  confDir: undefined,
  maxConfNum: undefined,
  useInternalLoopback: undefined,
  enableUnprivilegedPorts: undefined,
  enableUnprivilegedIcmp: undefined,
};

test('readContainerdConfig() reads the section of version 3', () => {
  const config = read({
    'config.toml': `
      version = 3
      [plugins."io.containerd.cri.v1.runtime"]
        enable_unprivileged_ports = false
        enable_unprivileged_icmp = true
        [plugins.'io.containerd.cri.v1.runtime'.cni]
          bin_dirs = ['/usr/lib/cni', '/opt/cni/bin']
          conf_dir = '/etc/cni/net.d'
          max_conf_num = 0
          use_internal_loopback = true
      # of version 2, which containerd does not look at here
      [plugins."io.containerd.grpc.v1.cri".cni]
        bin_dir = "/elsewhere"`,
  });
  assert.equal(config, {
    files: ['config.toml'],
    version: 3,
    binDirs: ['/usr/lib/cni', '/opt/cni/bin'],
    confDir: '/etc/cni/net.d',
    maxConfNum: 0,
    useInternalLoopback: true,
    enableUnprivilegedPorts: false,
    enableUnprivilegedIcmp: true,
  });
});

test('readContainerdConfig() reads version 2 and version 1, and what is not set is undefined', () => {
  const cni = '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/a"';
  assert.equal(read({ 'config.toml': `version = 2\n${cni}` }), {
    files: ['config.toml'],
    version: 2,
    ...NOTHING,
    binDirs: ['/a'],
  });
  const old = read({ 'config.toml': '[plugins.cri.cni]\nbin_dir = "/a"\nconf_dir = ""' });
  assert.equal(old, { files: ['config.toml'], version: 1, ...NOTHING, binDirs: ['/a'] });
  assert.equal(read({ 'config.toml': '' }), { files: ['config.toml'], version: 1, ...NOTHING });
  assert.is(readContainerdConfig('/nowhere/config.toml'), undefined);
});

test('readContainerdConfig() follows imports: relative, absolute, by pattern, in circles, one after the other', () => {
  const section = (text: string) => `version = 3\n[plugins."io.containerd.cri.v1.runtime"]\n${text}`;
  const config = read({
    'config.toml': `imports = ["conf.d/*.toml", "@/late.toml", "none/*.toml"]\n${section('enable_unprivileged_icmp = true\nenable_unprivileged_ports = true\ncni.bin_dirs = ["/a"]\ncni.max_conf_num = 3')}`,
    'conf.d/20-b.toml': section('cni.bin_dirs = ["/b"]'),
    'conf.d/10-a.toml': section('enable_unprivileged_icmp = false\ncni.bin_dirs = ["/c", "/d"]'),
    'conf.d/ignored.txt': 'not = TOML = at all',
    'late.toml': `imports = ["config.toml", "last.toml"]\n${section('enable_unprivileged_ports = false')}`,
    'last.toml': section('cni.conf_dir = "/last"'),
  });
  assert.equal(config, {
    files: ['config.toml', 'conf.d/10-a.toml', 'conf.d/20-b.toml', 'late.toml', 'last.toml'],
    version: 3,
    ...NOTHING,
    binDirs: ['/b'],
    confDir: '/last',
    maxConfNum: 3,
    enableUnprivilegedPorts: false,
    enableUnprivilegedIcmp: false,
  });
});

test('readContainerdConfig() lets a section of containerd 1 be replaced as a whole, and merges it for containerd 2', () => {
  const files = {
    'config.toml':
      'version = 2\nimports = ["more.toml"]\n[plugins."io.containerd.grpc.v1.cri"]\nenable_unprivileged_ports = true\n[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/a"',
    'more.toml': 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\nconf_dir = "/b"',
  };
  const settings = (major?: number) => {
    const { binDirs, confDir, enableUnprivilegedPorts } = read(files, major) ?? {};
    return [binDirs, confDir, enableUnprivilegedPorts];
  };
  assert.equal(settings(), [undefined, '/b', undefined]);
  assert.equal(settings(1), [undefined, '/b', undefined]);
  assert.equal(settings(2), [['/a'], '/b', true]);
});

test('readContainerdConfig() knows the patterns that containerd knows', () => {
  const config = read({
    'config.toml': 'version = 2\nimports = ["*/[ab]?+(x).*", "d/[^a]*"]',
    'c/a1+(x).toml': '',
    'c/c1+(x).toml': '',
    'd/b2+(x).conf': '',
    'd/a.toml': '',
  });
  assert.equal(config?.files, ['config.toml', 'c/a1+(x).toml', 'd/b2+(x).conf']);
});

test('readContainerdConfig() refuses what containerd could not start with', () => {
  const message = (files: Readonly<Record<string, string>>) => {
    try {
      read(files);
    } catch (error) {
      assert.instance(error, ContainerdConfigError);
      return (error as Error).message.replace(/\/\S*containerd-config-[^/]*/, '');
    }
    return 'read';
  };
  assert.match(message({ 'config.toml': 'version = ' }), /^"\/config.toml" is not TOML: /);
  assert.is(message({ 'config.toml': 'imports = ["gone.toml"]' }), '"/gone.toml" is imported, and is not there');
  assert.match(message({ 'config.toml': 'imports = ["*[z-a]"]', x: '' }), /is no pattern of file names/);
  assert.match(message({ 'config.toml/x': '' }), /^cannot read "\/config.toml": EISDIR/);
});

test('readContainerdConfig() passes over values of a wrong type', () => {
  const config = read({
    'config.toml': `
      version = 3
      imports = "more.toml"
      [plugins."io.containerd.cri.v1.runtime"]
        enable_unprivileged_ports = "false"
        cni = { bin_dirs = "/a", bin_dir = ["/b"], max_conf_num = "1", use_internal_loopback = 1 }`,
  });
  assert.equal(config, { files: ['config.toml'], version: 3, ...NOTHING });
  assert.equal(read({ 'config.toml': 'version = "3"\nplugins = 1' }), {
    files: ['config.toml'],
    version: 1,
    ...NOTHING,
  });
});

test.run();
