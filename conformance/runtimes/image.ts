// The images of the suite's containers, made by hand: a docker-archive (image-spec's config, one layer) of a static
// busybox, which containerd, Docker and Podman all load.
//
//   localhost/box:suite     busybox with a link for each of its programs; runs what it is told
//   localhost/pause:suite   the same, sleeping: what a pod sandbox runs

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../harness/command.ts';
import { SCRATCH } from './own-machine.ts';

/** Debian's busybox-static: an executable without libraries. */
const BUSYBOX = '/bin/busybox';
export const BOX = 'localhost/box:suite';
export const PAUSE = 'localhost/pause:suite';

const FOREVER = ['/bin/busybox', 'sleep', '2147483647'];
let archives: readonly string[] | undefined;

/** The archives of both images, made when they are first asked for. */
export function imageArchives(): readonly string[] {
  archives ??= makeArchives();
  return archives;
}

function makeArchives(): string[] {
  const folder = join(SCRATCH, 'images');
  const root = join(folder, 'root');
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  for (const name of mustRun(BUSYBOX, ['--list']).trim().split('\n')) {
    if (name !== 'busybox') symlinkSync('busybox', join(root, 'bin', name));
  }
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  const layer = join(folder, 'layer.tar');
  mustRun('tar', ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '-C', root, '-cf', layer, '.']);
  rmSync(root, { recursive: true });
  return [pack(folder, layer, BOX, ['/bin/sh']), pack(folder, layer, PAUSE, FOREVER)];
}

function pack(folder: string, layer: string, tag: string, command: readonly string[]): string {
  const name = tag.replace(/\W/g, '-');
  const stage = join(folder, name);
  mkdirSync(stage);
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: { Env: ['PATH=/bin'], Cmd: command },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(readFileSync(layer))}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'by hand' }],
  });
  const configName = `${sha256(config)}.json`;
  writeFileSync(join(stage, configName), config);
  writeFileSync(
    join(stage, 'manifest.json'),
    JSON.stringify([{ Config: configName, RepoTags: [tag], Layers: ['layer.tar'] }]),
  );
  copyFileSync(layer, join(stage, 'layer.tar'));
  const archive = join(folder, `${name}.tar.tmp`);
  mustRun('tar', ['--sort=name', '-C', stage, '-cf', archive, '.']);
  rmSync(stage, { recursive: true });
  renameSync(archive, join(folder, `${name}.tar`));
  return join(folder, `${name}.tar`);
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
