// `npm run docs`: writes cni/docs/diagnoses.md.

import { writeFileSync } from 'node:fs';
import { formatDiagnosisDocs } from './diagnosis-docs.ts';

writeFileSync(new URL('../../docs/diagnoses.md', import.meta.url), formatDiagnosisDocs());
