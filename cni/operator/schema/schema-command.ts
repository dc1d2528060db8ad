// `schema`: the JSON Schema of a configuration, for editors.

import type { Command } from '../cli/command.ts';
import { entrySchema, listSchema } from './json-schema.ts';

export const schemaCommand: Command = {
  name: 'schema',
  summary: 'print the JSON Schema of a configuration, for editors',
  description:
    'An editor that is told of it completes keys, explains them and marks wrong values while you type. "podlink validate" tells what a schema cannot: what several keys, or the node, have to do with each other.',
  arguments: [],
  options: [
    { name: 'list', summary: 'of a list of plugins (.conflist), not of a single entry' },
    { name: 'strict', summary: 'let the schema refuse keys that podlink does not know and would ignore' },
  ],
  run(call) {
    const options = { isStrict: call.isSet('strict') };
    const schema = call.isSet('list') ? listSchema(options) : entrySchema(options);
    return { json: schema, text: () => JSON.stringify(schema, undefined, 2) };
  },
};
