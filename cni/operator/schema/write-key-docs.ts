// `npm run docs`: writes cni/docs/keys.md.

import { writeFileSync } from 'node:fs';
import { formatKeyDocs } from './key-docs.ts';

writeFileSync(new URL('../../docs/keys.md', import.meta.url), formatKeyDocs());
