// The one nftables table of the node that is podlink's. Its elements name their owner by a comment: cni/attachment/marks.ts.

import { NFPROTO_INET } from '../../kernel/nftables/constants.ts';
import type { Table } from '../../kernel/nftables/table.ts';

export const PODLINK_TABLE: Table = { family: NFPROTO_INET, name: 'podlink' };
