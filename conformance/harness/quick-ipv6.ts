// IPv6 without the wait: an interface that has just come up may not ask for its neighbours on behalf of others before
// its link-local address has been found to be nobody else's, which takes up to two seconds. Nothing else depends on it.

import type { Cases } from './case.ts';

/** The same cases, on hosts whose interfaces do not look for duplicates of their link-local addresses. */
export function withQuickIpv6({ test, run }: Cases): Cases {
  return {
    test: (title, reference, body) =>
      test(title, reference, (host) => {
        host.namespace.setSysctl('net/ipv6/conf/default/accept_dad', '0');
        return body(host);
      }),
    run,
  };
}
