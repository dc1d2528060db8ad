// The project as the virtual machine sees it: its tree with the packed executable and with what the tests need of
// node_modules, as an image of a disk.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mustRun } from '../harness/command.ts';
import { cacheFolder } from './cache.ts';
import { makeDiskImage } from './disk-image.ts';
import { GUEST_COMMAND } from './root.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LEFT_OUT = new Set(['.git', 'dist', 'node_modules']);
/** Only the build and the checks need these, and they are half of it all. */
const BUILD_ONLY = /^(@babel|@biomejs|@esbuild|@types|@typescript|@yao-pkg|esbuild|postject|typescript|\..*)$/;

/** Make an image of the project with the script that the machine is to run. Throws Error when nothing was built. */
export function withProjectImage<Result>(script: string, use: (image: string) => Result): Result {
  const executable = join(ROOT, 'dist', 'podlink');
  if (!existsSync(executable)) throw new Error(`There is no ${executable} to test: run npm run build`);
  const work = mkdtempSync(join(cacheFolder(), 'project-'));
  const remove = (): void => rmSync(work, { recursive: true, force: true });
  process.once('exit', remove);
  const tree = join(work, 'tree');
  mkdirSync(join(tree, 'dist'), { recursive: true });
  mkdirSync(join(tree, 'node_modules'));
  for (const name of readdirSync(ROOT).filter((entry) => !LEFT_OUT.has(entry))) {
    cpSync(join(ROOT, name), join(tree, name), { recursive: true });
  }
  copy(executable, join(tree, 'dist'));
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => !BUILD_ONLY.test(entry))) {
    copy(join(ROOT, 'node_modules', name), join(tree, 'node_modules'));
  }
  writeFileSync(join(tree, GUEST_COMMAND), script);
  const image = join(work, 'project.img');
  makeDiskImage(tree, image, 256);
  rmSync(tree, { recursive: true });
  return use(image);
}

function copy(source: string, folder: string): void {
  mustRun('cp', ['-a', source, folder], { timeoutMs: 5 * 60_000 });
}
