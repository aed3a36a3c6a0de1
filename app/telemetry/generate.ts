/** Makes the tables of README.md from the catalogue, so that the document never names a metric that does not exist. */
import { readFile, writeFile } from 'node:fs/promises';
import { LOG_EVENTS, type LabelValues, type LogEventDefinition, METRICS, type MetricDefinition } from './catalogue.ts';

/** Longer value lists are counted: the catalogue has them. */
const VALUES_SHOWN = 8;

/** The README with its generated parts made anew; everything outside the markers stays. */
export function withTables(readme: string): string {
  const parts: Readonly<Record<string, string>> = { metrics: metricTable(), 'log events': logTable() };
  return Object.entries(parts).reduce((text, [name, table]) => {
    const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end of generated: ${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`README.md lacks the markers "${begin}" and "${end}".`);
    return `${text.slice(0, from)}${begin}\n${table}\n${text.slice(to)}`;
  }, readme);
}

function metricTable(): string {
  const rows = Object.values(METRICS as Readonly<Record<string, MetricDefinition>>).map(
    ({ name, kind, labels, zero, help }) => `| \`${name}\` | ${kind} | ${describeLabels(labels)} | ${zero} | ${help} |`,
  );
  return ['| metric | kind | labels | at zero | says |', '|---|---|---|---|---|', ...rows].join('\n');
}

function describeLabels(labels: MetricDefinition['labels']): string {
  return Object.entries(labels)
    .map(([label, values]) => `\`${label}\`: ${describeValues(values)}`)
    .join('; ');
}

function describeValues(values: LabelValues): string {
  if (typeof values === 'string') return values === 'build' ? 'fixed at start' : `each ${values}`;
  if (values.length > VALUES_SHOWN) return `${values.length} values`;
  return values.map((value) => (value === '' ? '*empty*' : value)).join(', ');
}

function logTable(): string {
  const rows = Object.values(LOG_EVENTS as Readonly<Record<string, LogEventDefinition>>).map(
    ({ event, level, fields, about }) => `| \`${event}\` | ${level} | ${fields.join(', ')} | ${about} |`,
  );
  return ['| line | level | fields | says |', '|---|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) {
  const file = new URL('README.md', import.meta.url);
  const readme = await readFile(file, 'utf8');
  const made = withTables(readme);
  if (!process.argv.includes('--check')) await writeFile(file, made);
  else if (readme !== made) {
    console.error('app/telemetry/README.md is not what app/telemetry/catalogue.ts makes. Run: npm run generate');
    process.exitCode = 1;
  }
}
