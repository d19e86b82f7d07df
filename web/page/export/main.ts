// Writes the dashboards of the page in the forms of other programs, into the folder named by the
// first argument. Run by scripts/page.sh, which also checks that the committed ones are these.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILTIN } from '../src/dashboards/builtin.ts';
import { grafana } from './grafana.ts';
import { kibana } from './kibana.ts';

const folder = process.argv[2];
if (!folder) throw new Error('name the folder to write to');
mkdirSync(join(folder, 'grafana'), { recursive: true });
writeFileSync(join(folder, 'kibana.ndjson'), kibana(BUILTIN));
for (const [name, dashboard] of Object.entries(BUILTIN)) {
  writeFileSync(join(folder, 'grafana', `${name}.json`), `${JSON.stringify(grafana(name, dashboard), null, 2)}\n`);
}
