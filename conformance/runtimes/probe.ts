// What containers of the suite run to look at their network and to talk to each other: busybox programs.

/** A server that is being started answers within a second or two, also on a busy machine. */
const ANSWER_TRIES = 25;

/** The names in the output of `ip -o link`. */
export function interfaceNames(output: string): string[] {
  return Array.from(output.matchAll(/^\d+: ([^:@]+)[@:]/gm), (match) => match[1] ?? '').sort();
}

/** The addresses in the output of `ip -o -4 addr`, with their prefixes. */
export function addressTexts(output: string): string[] {
  return Array.from(output.matchAll(/ inet (\S+)/g), (match) => match[1] ?? '').sort();
}

/** A program of the image that serves its hostname as a page. */
export function serverCommand(port: number, address = '0.0.0.0'): string[] {
  const page = `/tmp/${port}`;
  return [
    '/bin/sh',
    '-c',
    `mkdir -p ${page} && hostname >${page}/index.html && exec httpd -f -p ${address}:${port} -h ${page}`,
  ];
}

/** A program that prints what the server answers; it tries again while the server is being started. */
export function clientCommand(address: string, port: number, tries = ANSWER_TRIES): string[] {
  const ask = `answer=$(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 busybox nc -w 1 ${address} ${port} | tail -n 1)`;
  const attempt = `${ask}; [ -n "$answer" ] && echo "$answer" && exit 0`;
  return ['/bin/sh', '-c', `i=0; while [ $i -lt ${tries} ]; do ${attempt}; sleep 0.1; i=$((i+1)); done; exit 1`];
}
