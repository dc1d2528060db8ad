// Patterns that operators write for pods and paths.

/** `*` stands for any number of characters but "/", `?` for one. */
export function matchesGlob(text: string, glob: string): boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  return new RegExp(`^${pattern}$`).test(text);
}
